"""Run the libraries of wheels on this machine and in emulators: `python platforms/prove_wheels.py dist`.

x86-64 Linux, with glibc and with musl, runs natively, ARM64 Linux in qemu, x86-64 Windows in wine. Their vectors are
compared with golden vectors, and the wheel for ARM64 is installed for Debian's Python of that processor. Requires
Debian's packages qemu-user-static and wine64; musl and the packages for ARM64 are downloaded and unpacked, not
installed. Libraries for macOS and for Windows on ARM64 are not run: check_wheels.py reads them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import golden_vectors
from check_wheels import NATIVE
from debian_root import debian_root
from targets import Target, chosen

from dpr_tiny_retriever.model.native_library import available_builds

PROGRAM = Path(__file__).with_name("golden_vectors.c")
RUN_ARM64 = ["qemu-aarch64-static", "-L", "{arm64}"]
#: The targets that can be run, and the commands that run their programs; {arm64} and {amd64} are PACKAGES' folders.
RUNNABLE = {
    "manylinux2014_x86_64": [],
    "musllinux_1_2_x86_64": ["{amd64}/lib/ld-musl-x86_64.so.1"],
    "manylinux2014_aarch64": RUN_ARM64,
    "musllinux_1_2_aarch64": RUN_ARM64,
    "win_amd64": ["/usr/lib/wine/wine64"],
}
#: Debian's packages in each folder.
PACKAGES = {"amd64": ["musl"], "arm64": ["libgcc-s1", "libstdc++6", "musl", "python3"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("wheels", type=Path)
    parser.add_argument("tags", nargs="*", metavar="TAG", help="the platforms; all that can be run, if none is named")
    parser.add_argument("--cache", type=Path, default=Path(".nox") / "debian", help="where packages are kept")
    arguments = parser.parse_args()
    targets = [target for target in chosen(arguments.tags) if target.tag in RUNNABLE]
    roots = {name: str(debian_root(arguments.cache / name, name, packages)) for name, packages in PACKAGES.items()}
    with tempfile.TemporaryDirectory() as folder:
        golden = Path(folder) / "golden"
        golden_vectors.main(golden)
        failed = [target.tag for target in targets if not prove(target, arguments.wheels, golden, roots)]
        if not prove_python(arguments.wheels, Path(folder), roots):
            failed.append("Python on ARM64")
    if failed:
        sys.exit(f"other vectors than the golden ones: {', '.join(failed)}")


def prove(target: Target, wheels: Path, golden: Path, roots: dict[str, str]) -> bool:
    """Run every build of a wheel, and print the outcomes. Return whether all gave the golden vectors."""
    folder = golden.parent / target.tag
    [wheel] = wheels.glob(f"*-{target.tag}.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(NATIVE)])
    program = compile_program(target, folder)
    outcomes = {}
    for build in target.builds:
        library = folder / NATIVE / f"libbert_{build}{target.suffix}"
        command = [*runner(target.tag, roots), program, library, golden]
        # wine creates its folder in HOME and prints many messages
        environment = {**os.environ, "HOME": str(golden.parent), "WINEDEBUG": "-all"}
        done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment, timeout=300)
        print(f"{target.tag}, {build}: {done.stdout.strip() or f'outcome {done.returncode}'}", flush=True)
        outcomes[build] = done.returncode
    # The library of this machine's own wheel knows which builds its processor can run.
    runnable = target.builds if target.processor == "ARM64" else available_builds()
    return all(outcomes[build] == 0 for build in runnable)


def prove_python(wheels: Path, folder: Path, roots: dict[str, str]) -> bool:
    """Return whether the wheel for ARM64, installed with its dependencies, uses NEON there."""
    [wheel] = wheels.glob("*-manylinux2014_aarch64.whl")
    place = ["--target", folder / "site", "--python-platform", "aarch64-unknown-linux-gnu", "--python-version", "3.11"]
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*install, *place, wheel.resolve()], check=True)
    python = [*runner("manylinux2014_aarch64", roots), f"{roots['arm64']}/usr/bin/python3.11"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "HOME": str(folder)}
    command = [*python, "-m", "dpr_tiny_retriever", "info"]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment, cwd=folder)
    print("".join(line for line in done.stdout.splitlines(keepends=True)[:4]), flush=True)
    return "backend native (NEON)" in done.stdout


def runner(tag: str, roots: dict[str, str]) -> list[str]:
    """Return the command that runs a program of that target."""
    return [part.format(**roots) for part in RUNNABLE[tag]]


def compile_program(target: Target, folder: Path) -> Path:
    """Compile golden_vectors.c for a target. Return the program."""
    program = folder / ("golden_vectors.exe" if target.suffix == ".dll" else "golden_vectors")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target.triple]
    subprocess.run([*compiler, "-O1", "-dynamic", str(PROGRAM), "-o", str(program), "-lm"], check=True)
    return program


if __name__ == "__main__":
    main()
