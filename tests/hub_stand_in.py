"""A model hub on this machine: the part of its HTTP interface that downloading needs, with a record of all requests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """The files of a repository at each of its revisions."""

    revisions: dict[str, dict[str, bytes]]
    token: str | None = None  # needed to see the repository

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit means."""
        commits = {name: hashlib.sha1(name.encode()).hexdigest() for name in self.revisions}
        return commits.get(revision) or (revision if revision in commits.values() else None)

    def files(self, commit: str) -> dict[str, bytes]:
        return next(files for name, files in self.revisions.items() if self.commit(name) == commit)


@dataclass
class Hub:
    """The repositories by their ids, and the requests so far as (method, path, authorization)."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    broken: bool = False  # answers every request with an error
    endpoint: str = ""

    def add(self, repository: str, folder: Path, *, revision: str = "main", token: str | None = None) -> None:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self.repositories.setdefault(repository, Repository({}, token)).revisions[revision] = files

    def downloaded(self) -> dict[str, list[str]]:
        """The files whose content was sent, by repository, sorted."""
        files: dict[str, list[str]] = {}
        for method, path, _ in self.requests:
            found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
            if method == "GET" and found and found[2] in next(iter(self.repositories[found[1]].revisions.values())):
                files.setdefault(found[1], []).append(found[2])
        return {repository: sorted(names) for repository, names in files.items()}


class Handler(BaseHTTPRequestHandler):
    """Answers one request by the hub that the server belongs to."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def answer(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers["Authorization"]))
        if hub.broken:
            return self.send(503, b"overloaded")
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        if match:
            return self.describe(match[1], match[2], match[3] or "main")
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if match:
            return self.send_file(match[1], match[2], match[3])
        self.send(404, b"")

    def look_up(self, name: str, revision: str) -> tuple[Repository, str] | None:
        """The repository and its commit; None where the refusal has been sent."""
        repository = self.server.hub.repositories.get(name)
        if repository is None or repository.token not in (None, (self.headers["Authorization"] or "")[7:]):
            self.send(401, b"Invalid username or password.", {"X-Error-Code": "RepoNotFound"})
            return None
        commit = repository.commit(revision)
        if commit is None:
            self.send(404, b"Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repository, commit

    def describe(self, name: str, what: str, revision: str) -> None:
        known = self.look_up(name, revision)
        if known is None:
            return
        repository, commit = known
        files = repository.files(commit)
        if what == "tree":
            tree = [{"type": "file", "path": p, "size": len(c), "oid": etag(c)} for p, c in files.items()]
            return self.send(200, json.dumps(tree).encode())
        siblings = [{"rfilename": path} for path in files]
        record = {"id": name, "modelId": name, "sha": commit, "private": False, "tags": [], "siblings": siblings}
        self.send(200, json.dumps(record).encode())

    def send_file(self, name: str, revision: str, path: str) -> None:
        known = self.look_up(name, revision)
        if known is None:
            return
        repository, commit = known
        content = repository.files(commit).get(path)
        if content is None:
            return self.send(404, b"Entry not found", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": commit, "X-Linked-Size": str(len(content))}
        self.send(200, content, headers)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class HubServer(ThreadingHTTPServer):
    """Serves one hub on a free port of this machine."""

    daemon_threads = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the hub until the end of the context."""
    server = HubServer(hub)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
