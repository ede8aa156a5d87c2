"""What TinyDPREmbeddings sends to the hub, recorded by a local hub without any model."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from dpr_tiny_retriever import ModelNotFoundError
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

pytestmark = pytest.mark.langchain


@pytest.fixture
def hub_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """Path and Authorization header of every request that the hub receives."""
    received: list[tuple[str, str | None]] = []

    class EmptyHub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append((self.path, self.headers["Authorization"]))
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Keep the requests out of the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyHub)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield received
    server.shutdown()
    server.server_close()


def test_revision_and_token_reach_the_hub(hub_requests: list[tuple[str, str | None]]) -> None:
    with pytest.raises(ModelNotFoundError, match="someone/pair at revision v2"):
        TinyDPREmbeddings("someone/pair", revision="v2", token="hf_confidential")
    assert ("/api/models/someone/pair/revision/v2", "Bearer hf_confidential") in hub_requests


def test_local_files_only_sends_no_request(hub_requests: list[tuple[str, str | None]]) -> None:
    with pytest.raises(ModelNotFoundError, match="may not use the network"):
        TinyDPREmbeddings("someone/pair", local_files_only=True)
    assert hub_requests == []
