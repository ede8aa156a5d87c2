"""What an installation from source holds: the native library, or why there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from native_code import ROOT
from native_models import BUILDS

FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "MANIFEST.in", "csrc", "dpr_tiny_retriever")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a build reads, without anything that was compiled."""
    for name in FILES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_native", "__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run_setup(checkout: Path, *arguments: str, compiler: str | None = None, path: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS")}
    environment |= {} if compiler is None else {"CC": compiler}
    environment |= {} if path is None else {"PATH": path}
    command = [sys.executable, "setup.py", *arguments]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def native_files(wheel: Path) -> set[str]:
    prefix = "dpr_tiny_retriever/_native/"
    return {name.removeprefix(prefix) for name in zipfile.ZipFile(wheel).namelist() if name.startswith(prefix)}


def what_is_used(folder: Path) -> str:
    script = (
        "from dpr_tiny_retriever.model.native_library import *; print(available_builds(), dict(unavailable_builds()))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.posix
def test_a_wheel_is_for_one_platform_and_every_python_and_holds_every_build(checkout: Path, tmp_path: Path) -> None:
    run_setup(checkout, "bdist_wheel")
    [wheel] = (checkout / "dist").glob("*.whl")
    python, abi, platform = wheel.stem.split("-")[2:]
    assert (python, abi) == ("py3", "none")
    assert platform != "any"
    assert {Path(name).stem for name in native_files(wheel)} >= {"build", *(f"libbert_{build}" for build in BUILDS)}
    licenses = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/licenses/" in name]
    assert {Path(name).name for name in licenses} == {"LICENSE", "NOTICE"}
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    assert what_is_used(installed).startswith(f"{BUILDS}")


@pytest.mark.posix
def test_without_a_compiler_the_build_succeeds_and_info_says_what_is_missing(checkout: Path, tmp_path: Path) -> None:
    said = run_setup(checkout, "bdist_wheel", path="/nowhere")
    reason = "it was built without a C compiler (none in CC, and no cc, gcc or clang)"
    assert f"the native library's build base is left out: {reason}" in said
    [wheel] = (checkout / "dist").glob("*.whl")
    assert native_files(wheel) == {"build.json"}
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    info = [sys.executable, "-m", "dpr_tiny_retriever", "info"]
    reported = subprocess.run(info, cwd=installed, capture_output=True, text=True, check=True).stdout
    assert "Bundled pair: bundled (128 floats, backend " in reported
    assert "Native builds that run here: none\n" in reported
    for build in ("base", "avx2", "avx512"):
        assert f"  not {build}: {reason}\n" in reported


@pytest.mark.posix
@pytest.mark.parametrize(
    ("compiler", "reason"), [("false", "false failed:"), ("/no/compiler", "the C compiler cannot be run: [Errno 2]")]
)
def test_a_build_that_fails_leaves_no_older_library(checkout: Path, compiler: str, reason: str) -> None:
    stale = checkout / "dpr_tiny_retriever" / "_native" / "libbert_avx2.so"
    stale.parent.mkdir()
    stale.touch()
    run_setup(checkout, "build_ext", "--inplace", compiler=compiler)
    assert [path.name for path in stale.parent.iterdir()] == ["build.json"]
    failures = json.loads((stale.parent / "build.json").read_text(encoding="utf-8"))["failures"]
    assert failures.keys() == {"base", "avx2", "avx512"}
    assert failures["base"].startswith(reason)
