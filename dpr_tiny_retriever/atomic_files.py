"""Files and folders that are replaced whole or not at all, even where the process is killed."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpr_tiny_retriever.temporary_names import FORMER, temporary_file, temporary_folder

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
RENAME_SWAP = 2  # macOS: sys/stdio.h


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path and atomically rename it to `path` on success.

    On an error or a kill the old file is untouched. What a kill leaves is removed by the next call for the same folder.
    Raises OSError, which names the file, where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named(path), temporary_file(path) as part:
        yield part
        _flush(part)
        part.replace(path)


@contextmanager
def replaced_folder(directory: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes the place of `directory` on success.

    What only the old folder holds is kept. On an error or a kill there is either the old folder or the new one, never
    a mixture. Two exceptions: where the system cannot exchange two folders (Windows, and Linux with musl), a kill may
    leave neither under its name, and the next call puts the old one back; and where the working directory is inside
    `directory`, its entries are replaced one by one. What a kill leaves beside the folder is removed by the next call
    for one in the same place. Raises OSError, which names the folder or a file in it, where it cannot be written.
    """
    directory = _absolute(directory)
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file; expected a folder, or a path where one can be made")
    if os.path.ismount(directory):
        raise OSError(f"{directory} is a mount point, which cannot be replaced; expected a folder inside it")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, not in the system's folder for temporary files: a folder can be renamed only within its
    # file system.
    with _named(directory), temporary_folder(directory) as scratch:
        new = scratch / "new"
        new.mkdir()
        yield new
        for path in new.rglob("*"):
            if path.is_file():
                _flush(path)
        _take_place(new, directory)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system cannot. Python has no function for it."""
    try:
        if sys.platform == "darwin":
            failed = ctypes.CDLL(None).renamex_np(os.fsencode(one), os.fsencode(other), RENAME_SWAP)
        else:
            failed = ctypes.CDLL(None).renameat2(
                AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE
            )
    except (AttributeError, OSError, TypeError):  # a C library without the call; Windows
        return False
    return not failed


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, or copy it where that is impossible, as between two file systems."""
    try:
        # Windows has no follow_symlinks: there os.link links the symbolic link itself.
        os.link(source, target, follow_symlinks=os.link not in os.supports_follow_symlinks)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the file being written to an OSError that names none, such as for a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _take_place(new: Path, old: Path) -> None:
    """Put a folder or file in the place of another, which may not exist."""
    if not old.is_dir() or not new.is_dir():
        new.replace(old)
    elif _contains_working_directory(old):
        # A process must not lose the folder that it stands in.
        for entry in new.iterdir():
            _take_place(entry, old / entry.name)
    else:
        _carry_over(old, new)
        if not exchange(new, old):
            aside = new.with_name(FORMER)
            old.replace(aside)
            try:
                new.replace(old)
            except OSError:
                aside.replace(old)
                raise


def _contains_working_directory(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(folder)
    except FileNotFoundError:  # the working directory was removed
        return False


def _carry_over(old: Path, new: Path) -> None:
    """Give new, too, what only the old folder holds: by links, not by moving, since old must stay whole."""
    replaced = {path.name for path in new.iterdir()}
    for path in old.iterdir():
        if path.name in replaced:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True, copy_function=link_or_copy)
        else:
            link_or_copy(path, new / path.name)
    shutil.copystat(old, new)


def _absolute(directory: Path) -> Path:
    try:
        return directory.expanduser().resolve()
    except RuntimeError as error:
        raise FileNotFoundError(f"{directory}: {error}; expected a path without ~") from error


def _flush(path: Path) -> None:
    """Force a file to disk before it gets its final name: a power cut must not leave an empty file."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
