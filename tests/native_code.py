"""The C of the native backend, compiled by the tests with setup.py's own flags."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"


def setup_script() -> ModuleType:
    """setup.py, imported without building anything."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_library(source: Path, library: Path, build: str, *, compiler: str | None = None) -> None:
    """Compile a C file into a library; warnings are errors."""
    script = setup_script()
    command = [compiler] if compiler else script.find_compiler()
    assert command is not None, "these tests need a C compiler"
    target = subprocess.run([*command, "-dumpmachine"], capture_output=True, text=True, check=True).stdout.strip()
    compile_line, link_line = script.compile_commands(command, target, build, str(source), library)
    for line in ([*compile_line, "-Werror", f"-I{CSRC}"], link_line):
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
