"""Build the source archive and a wheel for each platform, of the last commit, into dist/.

    python platforms/build_wheels.py [--output dist] [--twice] [TAG ...]

Zig's C compiler, from the PyPI package ziglang, compiles for all platforms on one machine. The bytes depend on the
commit and on the versions of Python, setuptools and ziglang alone: --twice builds all again elsewhere and compares the
bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from check_wheels import check
from targets import Target, chosen

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tags", nargs="*", metavar="TAG", help="the platforms; all, if none is named")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--twice", action="store_true", help="build a second time and compare the bytes")
    arguments = parser.parse_args()
    targets = chosen(arguments.tags)
    shutil.rmtree(arguments.output, ignore_errors=True)
    arguments.output.mkdir(parents=True)
    build(targets, arguments.output)
    check(arguments.output, targets)
    if arguments.twice:
        with tempfile.TemporaryDirectory() as folder:
            build(targets, Path(folder))
            compare(arguments.output, Path(folder))


def build(targets: list[Target], output: Path) -> None:
    """Write the source archive of the last commit, and wheels that are built from it, into a folder."""
    epoch = git("log", "-1", "--format=%ct").decode().strip()
    os.environ["SOURCE_DATE_EPOCH"] = epoch
    os.umask(0o022)  # permissions are part of an archive
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        unpack(git("archive", "HEAD"), scratch / "commit")
        run_build(scratch / "commit", scratch / "archive", "--sdist")
        [made] = (scratch / "archive").glob("*.tar.gz")
        archive = output / made.name
        archive.write_bytes(normalized(made.read_bytes(), int(epoch)))
        print(archive.name, flush=True)
        for target in targets:
            # A folder of its own: setuptools would pack what an earlier build has left.
            unpack(gzip.decompress(archive.read_bytes()), scratch / target.tag)
            [source] = (scratch / target.tag).iterdir()
            compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target.triple]
            option = f"--config-setting=--build-option=--plat-name={target.tag}"
            environment = {"CC": shlex.join(compiler), "CFLAGS": "-s"}  # -s: without names for debuggers
            run_build(source, output.resolve(), "--wheel", option, environment=environment)
            print(target.tag, flush=True)


def run_build(source: Path, output: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run `python -m build` with the installed setuptools. Exit with its output if it fails."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), *arguments, str(source)]
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        sys.exit(done.stdout)


def normalized(archive: bytes, epoch: int) -> bytes:
    """Return a .tar.gz of the same files in the order of their names, with the commit's time and no owners."""
    tar = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as found,
        tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as ordered,
    ):
        for member in sorted(found.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            ordered.addfile(member, found.extractfile(member) if member.isfile() else None)
    return gzip.compress(tar.getvalue(), mtime=epoch)


def unpack(tar: bytes, folder: Path) -> None:
    """Extract a tar archive into a folder."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        archive.extractall(folder, filter="tar")


def compare(one: Path, other: Path) -> None:
    """Exit with an error if a file has other bytes in the other folder."""
    names = sorted(path.name for path in one.iterdir())
    for name in names:
        digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (one, other)]
        if digests[0] != digests[1]:
            sys.exit(f"{name} is not reproducible: the second run gave other bytes")
    print(f"A second run gave the same bytes of all {len(names)} files.")


def git(*arguments: str) -> bytes:
    """Return the output of a git command in this repository."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, stdout=subprocess.PIPE).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"wheels are built of a commit, which git has to read: {error}")


if __name__ == "__main__":
    main()
