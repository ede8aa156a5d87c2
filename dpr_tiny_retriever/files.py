"""JSON files with errors that name them, and folders that are replaced whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dpr_tiny_retriever.errors import CheckpointError

Kind = TypeVar("Kind", dict[str, Any], list[Any])


def read_json(path: Path, kind: type[Kind], *, missing: Kind | None = None) -> Kind:
    """Read a JSON object or list; a file that is not there gives `missing`, or an error where that is None."""
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
def replaced_folder(directory: Path) -> Iterator[Path]:
    """Give an empty folder to fill; at the end it takes the place of `directory` in one step.

    A crash leaves the former folder or the new one, never a mixture. What a former folder holds and the new one does
    not is carried over.
    """
    directory = directory.expanduser().resolve()
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file; expected a folder, or a path where one can be made")
    directory.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        new, former = workplace / "new", workplace / "former"
        new.mkdir()
        yield new
        _flush(new)
        if directory.exists():
            os.replace(directory, former)
        try:
            os.replace(new, directory)
        except OSError:
            if former.exists():
                os.replace(former, directory)
            raise
        for kept in sorted(former.iterdir()) if former.exists() else ():
            if not (directory / kept.name).exists():
                os.replace(kept, directory / kept.name)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Force every file to disk before the folder gets its name: a power cut must not leave empty files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
