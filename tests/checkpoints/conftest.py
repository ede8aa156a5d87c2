from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import Hub, serving
from published_models import PASSAGE, QUERY, Resolve, hub_environment, write_published

#: A name of the hub is resolved in a process of its own: the address of the hub and the cache are read at import.
RESOLVE = """
import json, sys
from dpr_tiny_retriever.checkpoints.hub import resolve
arguments = json.loads(sys.argv[1])
source = resolve(**arguments)
print(json.dumps([str(source.directory), source.preset and source.preset.name, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    return {name: write_published(folder / name.replace("/", "--"), seed) for seed, name in enumerate((QUERY, PASSAGE))}


@pytest.fixture
def hub(published: dict[str, Path]) -> Iterator[Hub]:
    hub = Hub()
    for name, folder in published.items():
        hub.add(name, folder)
    with serving(hub):
        yield hub


@pytest.fixture
def resolved(hub: Hub, tmp_path: Path) -> Resolve:
    """Resolve in another process: the folder and the preset, or the last line of what was raised."""

    def run(model: str | None, side: str = "query", environment: dict[str, str] | None = None, **how: Any) -> Any:
        arguments = json.dumps({"model": model, "side": side, **how})
        done = subprocess.run(
            [sys.executable, "-c", RESOLVE, arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=hub_environment(hub, tmp_path / "home", **environment or {}),
            check=False,
        )
        if done.returncode:
            return done.stderr.splitlines()[-1]
        directory, preset, modules = json.loads(done.stdout)
        assert "tensorflow" not in modules
        return Path(directory), preset

    return run


@pytest.fixture
def nowhere() -> str:
    """An address where nothing answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
