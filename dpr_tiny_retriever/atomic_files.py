"""JSON files with errors that name them, and files and folders that are replaced whole or not at all."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dpr_tiny_retriever.errors import CheckpointError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h

Kind = TypeVar("Kind", dict[str, Any], list[Any])


def read_json(path: Path, kind: type[Kind], *, missing: Kind | None = None) -> Kind:
    """Read a JSON object or list; a file that is not there gives `missing`, or an error where it is None."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise CheckpointError(f"{path} is missing; expected the file as its model was saved") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); expected the file as its model was saved") from error
    if not isinstance(found, kind):
        raise CheckpointError(f"{path}: found a {type(found).__name__}; expected a {kind.__name__}")
    return found


def write_json(path: Path, record: object) -> None:
    """Write a JSON file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; at the end what stands there takes the place of `path` in one step.

    Where it comes to no end, or the process is killed, the former file stays as it is.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        _flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replaced_folder(directory: Path) -> Iterator[Path]:
    """Give an empty folder to fill; at the end it takes the place of `directory` in one step.

    A crash leaves the former folder or the new one, never a mixture (outside Linux, for an instant, neither).
    What a former folder holds and the new one does not is kept.
    """
    directory = directory.expanduser().resolve()
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file; expected a folder, or a path where one can be made")
    if os.path.ismount(directory):
        raise OSError(f"{directory} is a mount point, which cannot be replaced; expected a folder inside it")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside its goal and not in a system folder: only within one file system a folder can change its name.
    workplace = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        new = workplace / "new"
        new.mkdir()
        yield new
        for path in new.rglob("*"):
            if path.is_file():
                _flush(path)
        if directory.exists():
            _carry_over(directory, new)
            _exchange(new, directory)
        else:
            new.replace(directory)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _carry_over(former: Path, new: Path) -> None:
    """Let new hold too what only the former folder holds, without moving it: former stays whole."""
    replaced = {path.name for path in new.iterdir()}
    for kept in former.iterdir():
        if kept.name in replaced:
            continue
        if kept.is_dir() and not kept.is_symlink():
            shutil.copytree(kept, new / kept.name, symlinks=True, copy_function=_link)
        else:
            _link(kept, new / kept.name)
    shutil.copystat(former, new)


def _link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, or copy it where the file system cannot."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(new: Path, directory: Path) -> None:
    """Let two folders change places: in one step where the system can, else in two."""
    here = Path.cwd()
    if not _exchanged_at_once(new, directory):
        former = new.with_name("former")
        directory.replace(former)
        try:
            new.replace(directory)
        except OSError:
            former.replace(directory)
            raise
    if here.is_relative_to(directory):
        os.chdir(here)  # else a process that stands in the former folder would stand nowhere


def _exchanged_at_once(one: Path, other: Path) -> bool:
    """Exchange two names by Linux's renameat2, which Python lacks; False where it is not to be had."""
    try:
        call = ctypes.CDLL(None).renameat2
    except (AttributeError, TypeError):  # macOS, Windows
        return False
    return not call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)


def _flush(path: Path) -> None:
    """Force a file to disk before it, or its folder, gets its name: a power cut must not leave empty files."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
