"""Temporary files and folders beside what they will replace, and the removal of those that dead processes left.

A living process holds a lock on each of its own, which the system releases however the process ends. On Windows, which
locks no folders and renames no open files, the lock is on an empty file beside it, with .lock at the end of its name.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
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
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := _NAME.fullmatch(entry.name)) and (match["machine"] == _machine() or _is_old(entry)):
                _remove_if_free(folder / match["made"], folder / match["replaced"])


def _made(path: Path, *, is_folder: bool) -> Iterator[Path]:
    remove_abandoned(path.parent)
    made, release = _make(path, is_folder=is_folder)
    try:
        yield made
    finally:
        _remove(made)
        if release is not None:
            release()


def _make(path: Path, *, is_folder: bool) -> tuple[Path, Callable[[], None] | None]:
    """Make a file or folder beside the path. Return it, and the function that releases its lock, if it is locked."""
    while True:
        made = path.with_name(f".{path.name}.{_machine()}{secrets.token_hex(4)}.part")
        release = _locked_beside(made) if fcntl is None else None
        if is_folder:
            made.mkdir(mode=0o700)
        else:
            made.open("xb").close()
        if fcntl is None:
            return made, release
        release = _locked(made)
        # Another process may have taken it for abandoned before it was locked: then it is gone.
        if made.exists():
            return made, release


def _locked(path: Path) -> Callable[[], None] | None:
    """Lock the file or folder. Return the function that releases it, or None where it cannot be locked now."""
    if fcntl is None:
        return _locked_beside(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return partial(os.close, descriptor)


def _locked_beside(path: Path) -> Callable[[], None] | None:
    """Do the same by a lock file beside the path; the path need not exist."""
    from filelock import FileLock, Timeout  # imports asyncio, which few need

    lock = FileLock(f"{path}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return None

    def release() -> None:
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)

    return release


def _remove_if_free(path: Path, replaced: Path) -> None:
    release = _locked(path)
    if release is None:
        return
    try:
        if (path / FORMER).exists() and not replaced.exists():  # killed between the two names of an exchange
            (path / FORMER).rename(replaced)
        _remove(path)
    finally:
        release()


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


_NAME = re.compile(r"(?P<made>\.(?P<replaced>.+)\.(?P<machine>[0-9a-f]{6})[0-9a-f]{8}\.part)(\.lock)?", re.DOTALL)
