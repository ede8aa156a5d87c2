"""The peers that are compared: the environment and process of each, and calls to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class PeerError(RuntimeError):
    """A peer cannot run, or a call to it failed."""


@dataclass(frozen=True)
class Kind:
    """How a peer is started."""

    environment: str
    """A folder below .nox."""
    module: str
    """A module in workers/."""
    options: dict[str, str] = field(default_factory=dict)
    """Keyword arguments of the module's Worker."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables of the process."""


OURS = "ours"
#: Another version of this package: --python before=PATH names the interpreter that has it.
BEFORE = "before"
#: This package with each of its backends.
BACKENDS = {f"backend {name}": name for name in ("native", "tensorflow", "numpy")}
KINDS = {
    OURS: Kind("bench", "ours"),
    BEFORE: Kind("before", "ours"),
    **{peer: Kind("bench", "ours", {"backend": name}) for peer, name in BACKENDS.items()},
    "bfloat16": Kind("bench", "ours", {"precision": "bfloat16"}),
    "card": Kind("bench-card", "card", variables={"TF_USE_LEGACY_KERAS": "1"}),
    "sentence-transformers": Kind("bench-torch", "sentence"),
    "onnxruntime": Kind("bench-torch", "onnx"),
    "farm-haystack": Kind("bench-farm-haystack", "farm"),
    "numpy": Kind("bench", "machine"),
    "frameworks": Kind("bench", "frameworks"),
    "farm-haystack's adapter": Kind("bench-farm-adapter", "farm_adapter"),
}

_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "PYTHONUNBUFFERED": "1",
}


def environment_of(kind: Kind) -> dict[str, str]:
    """Return the environment variables of a peer's processes."""
    return {**os.environ, **_QUIET, **kind.variables}


class Peers:
    """The running peers. Each starts with its first call; all end with the `with` block."""

    def __init__(self, environments: Path, pythons: dict[str, Path], cores: int, logs: Path) -> None:
        """pythons names interpreters by environment; the others are environments/NAME/bin/python."""
        self._environments = environments
        self._pythons = pythons
        self._cores = cores
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def python(self, peer: str) -> Path:
        """Return a peer's interpreter; without the environment bench, this package's is the current one."""
        name = KINDS[peer].environment
        python = self._pythons.get(name) or self._environments / name / "bin" / "python"
        if not python.exists() and name == KINDS[OURS].environment:
            return Path(sys.executable)
        if not python.exists():
            raise PeerError(f"there is no environment {name}; make bench creates it")
        return python

    def call(self, peer: str, method: str, **arguments: Any) -> Any:
        """Call a method of a peer's worker and wait for the answer."""
        process = self._processes.get(peer)
        if process is None:
            process = self._processes[peer] = self._start(peer)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps({"method": method, "arguments": arguments}), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline() or '{"error": "the process has ended"}')
        except BrokenPipeError:
            answer = {"error": "the process has ended"}
        if "error" in answer:
            raise PeerError(f"{answer['error']} (see {self._log(peer)})")
        return answer["answer"]

    def _log(self, peer: str) -> Path:
        return self._logs / f"{peer.replace(' ', '-')}.log"

    def _start(self, peer: str) -> subprocess.Popen[str]:
        kind = KINDS[peer]
        with self._log(peer).open("w") as log:
            return subprocess.Popen(
                [self.python(peer), HERE / "worker.py", kind.module, str(self._cores), json.dumps(kind.options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment_of(kind),
            )
