"""Temporary files and folders beside what they will replace, and the removal of those that dead processes left.

A living process holds a lock on each of its own, which the system releases however the process ends.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is removed
    fcntl = None  # type: ignore[assignment]

#: The entry of a temporary folder that takes the place of what it is to replace, should that be gone.
FORMER = "former"
#: Locks of other machines may be unknown to this one: what these began is removed after a day.
_FOREIGN_AGE = 24 * 3600.0


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Make an empty file beside `path`, and remove it at the end if it is still there."""
    yield from _made(path, is_folder=False)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside `path`, and remove it and what is in it at the end."""
    yield from _made(path, is_folder=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders in a folder whose processes have ended; what cannot be removed stays."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := _NAME.fullmatch(entry.name)) and (match["machine"] == _machine() or _is_old(entry)):
                _remove_if_free(Path(entry.path), folder / match["name"])


def _made(path: Path, *, is_folder: bool) -> Iterator[Path]:
    remove_abandoned(path.parent)
    made, descriptor = _make(path, is_folder=is_folder)
    try:
        yield made
    finally:
        _remove(made)
        if descriptor is not None:
            os.close(descriptor)  # which releases the lock


def _make(path: Path, *, is_folder: bool) -> tuple[Path, int | None]:
    """A new name beside the path, and the descriptor that holds its lock, if there are locks here."""
    while True:
        made = path.with_name(f".{path.name}.{_machine()}{secrets.token_hex(4)}.part")
        if is_folder:
            made.mkdir(mode=0o700)
        else:
            made.open("xb").close()
        if fcntl is None:
            return made, None
        descriptor = _locked(made)
        # Another process may have taken it for abandoned before it was locked: then it is gone.
        if made.exists():
            return made, descriptor


def _locked(path: Path) -> int | None:
    """A descriptor of the file or folder with its lock; None where another holds it, or there are no locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_if_free(path: Path, replaced: Path) -> None:
    descriptor = _locked(path)
    if descriptor is None:
        return
    try:
        if (path / FORMER).exists() and not replaced.exists():  # killed between the two names of an exchange
            (path / FORMER).rename(replaced)
        _remove(path)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_old(entry: os.DirEntry[str]) -> bool:
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _FOREIGN_AGE


def _machine() -> str:
    """Six digits that tell machines apart."""
    return hashlib.blake2b(platform.node().encode(), digest_size=3).hexdigest()


_NAME = re.compile(r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{6})[0-9a-f]{8}\.part", re.DOTALL)
