"""A fork server with the package already imported, so that running a command takes a tenth of the time.

run() starts it with disturbed_writes.c preloaded, and sends requests as lines of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

#: Libraries to import too, if installed.
_LIBRARIES = ["bm25s", "h5py", "ir_measures", "matplotlib.pyplot", "pyarrow.parquet", "safetensors.numpy", "tokenizers"]


def run(arguments: list[str], folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments in a fork, in this folder and environment; returns what subprocess.run would."""
    server = _server(variables["LD_PRELOAD"])
    request = {"arguments": arguments, "folder": str(folder), "variables": variables}
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    status = int(server.stdout.readline())
    output, errors = (_output(folder, name).read_text(errors="replace") for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(arguments, status, output, errors)


@cache
def _server(library: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "campaign.warm_python"],
        cwd=Path(__file__).parent.parent,  # so that "campaign" is found, and the package where it is installed
        env={**os.environ, "LD_PRELOAD": library, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _output(folder: Path, name: str) -> Path:
    return folder.parent / f"{folder.name}.{name}"


def _serve() -> None:
    import dpr_tiny_retriever

    for module in pkgutil.walk_packages(dpr_tiny_retriever.__path__, "dpr_tiny_retriever.", onerror=lambda name: None):
        if not any(part in module.name for part in ("training", "tensorflow", "adapters", "__main__")):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(request: dict[str, Any]) -> None:
    """Run the command and end this process."""
    folder, variables, arguments = Path(request["folder"]), request["variables"], request["arguments"]
    streams = {0: os.open(os.devnull, os.O_RDONLY)}
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        streams[descriptor] = os.open(_output(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, stream in streams.items():
        os.dup2(stream, descriptor)
    sys.stdin = os.fdopen(0)  # the server's own has buffered further requests
    os.chdir(folder)
    os.environ.update(variables)
    ctypes.CDLL(variables["LD_PRELOAD"]).disturb()
    status: object = 0
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(arguments[1], {"__name__": "__main__"})
        else:
            sys.argv = ["dpr-tiny", *arguments[2:]]
            runpy.run_module(arguments[1], run_name="__main__")
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    _serve()
