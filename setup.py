"""Compiles csrc/bert.c into dpr_tiny_retriever/_native, one library for each instruction set.

The libraries are loaded by ctypes and contain no Python: one wheel a platform serves every Python. Without a C
compiler the installation succeeds too; _native/build.json then says why there is no library. Environment: CC, the
compiler (GCC or Clang; otherwise the first found of cc, gcc and clang), and CFLAGS, further flags.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCE = "csrc/bert.c"
HEADERS = ["csrc/attention.h", "csrc/bert.h", "csrc/gemm.h", "csrc/simd.h"]
FLAGS = "-O3 -fno-math-errno -ffp-contract=fast -fvisibility=hidden -Wall -Wextra -Wconversion -Wshadow"
#: What each build adds: the instructions that dpr_cpu_lanes in bert.c asks the processor for.
BUILDS = {
    "base": "",
    "avx2": "-mavx2 -mfma -mbmi2",
    "avx512": "-mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mfma -mbmi2 -mprefer-vector-width=512",
}


class BuildNative(build_ext):
    """Compiles every build, or records why not."""

    def run(self) -> None:
        folder = Path("." if self.inplace else self.build_lib, "dpr_tiny_retriever", "_native")
        shutil.rmtree(folder, ignore_errors=True)  # a build that fails must not leave an older library
        folder.mkdir(parents=True)
        failures = {build: reason for build in BUILDS if (reason := compile_build(build, folder))}
        (folder / "build.json").write_text(json.dumps({"failures": failures}, indent=2) + "\n", encoding="utf-8")
        for build, reason in failures.items():
            self.warn(f"the native library's build {build} is left out: {reason}")

    def get_outputs(self) -> list[str]:
        folder = Path(self.build_lib, "dpr_tiny_retriever", "_native")
        return [str(path) for path in folder.glob("*")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}  # an editable installation has them in the source tree


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        platform_tag = super().get_tag()[2]
        # A universal Python for macOS has code for two processors, these libraries for one.
        return "py3", "none", platform_tag.replace("universal2", platform.machine())


def compile_build(build: str, folder: Path) -> str | None:
    """Compile a build into the folder. Return None, or why that failed."""
    compiler = find_compiler()
    if compiler is None:
        return "it was built without a C compiler (none in CC, and no cc, gcc or clang)"
    linked = folder / "linked"  # linkers for Windows write more than the library
    try:
        target = subprocess.run([*compiler, "-dumpmachine"], capture_output=True, text=True).stdout.strip()
        if BUILDS[build] and not target.startswith("x86_64"):
            return f"it is for x86-64, the C compiler for {target or 'an unknown processor'}"
        linked.mkdir()
        library = linked / f"libbert_{build}{library_suffix(target)}"
        for command in compile_commands(compiler, target, build, SOURCE, library):
            print(shlex.join(command), flush=True)
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
            print(done.stderr, end="", flush=True)
            if done.returncode:
                return f"{shlex.join(compiler)} failed: {done.stderr.strip()[:500]}"
        library.replace(folder / library.name)
    except OSError as error:
        return f"the C compiler cannot be run: {error}"
    finally:
        shutil.rmtree(linked, ignore_errors=True)
    return None


def find_compiler() -> list[str] | None:
    """Return the command of the C compiler, or None if there is none."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    found = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    return [found] if found else None


def compile_commands(compiler: list[str], target: str, build: str, source: str, library: Path) -> list[list[str]]:
    """Return the commands that compile a C file and link the library, for a target as -dumpmachine names it.

    The linker is not told the build's instructions: Zig would compile the C runtime of Windows anew for each build.
    """
    position_independent = [] if library_suffix(target) == ".dll" else ["-fPIC"]
    further = shlex.split(os.environ.get("CFLAGS", ""))
    compiled = library.with_suffix(".o")
    flags = [*shlex.split(f"{FLAGS} {BUILDS[build]}"), *position_independent, *further]
    # By default, a library for macOS holds the path that it was written to.
    named = ["-install_name", f"@rpath/{library.name}"] if library_suffix(target) == ".dylib" else []
    return [
        [*compiler, *flags, "-c", source, "-o", str(compiled)],
        [*compiler, "-shared", "-O3", *further, *named, str(compiled), "-o", str(library), "-lm"],
    ]


def library_suffix(target: str) -> str:
    if "windows" in target or "mingw" in target:
        return ".dll"
    return ".dylib" if "darwin" in target or "macos" in target else ".so"


def readme() -> str:
    """README.md for PyPI: links to pages lead to the documentation, links to other files to the repository."""
    settings = Path("pyproject.toml").read_text(encoding="utf-8")
    urls = dict(re.findall(r'^(Documentation|Repository) = "(.*?)/?"$', settings, re.MULTILINE))
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/([\w/]+)\.md", rf"]({urls['Documentation']}/\1.html", text)
    return re.sub(r"\]\((?!https://)", f"]({urls['Repository']}/blob/main/", text)


if __name__ == "__main__":
    setup(
        long_description=readme(),
        long_description_content_type="text/markdown",
        cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
        ext_modules=[Extension("dpr_tiny_retriever._native", [SOURCE], depends=HEADERS)],
    )
