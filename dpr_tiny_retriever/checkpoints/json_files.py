"""The JSON files of a model folder, with errors that name the file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, TypeVar

from dpr_tiny_retriever.errors import CheckpointError

#: Several times the size of the largest vocabularies that are published.
MAX_BYTES = 1 << 28

Kind = TypeVar("Kind", dict[str, Any], list[Any])


def read_json(path: Path, kind: type[Kind], *, missing: Kind | None = None) -> Kind:
    """Read a JSON object or list; where there is no file, return `missing`, or raise CheckpointError if it is None."""
    try:
        refuse_huge(path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise CheckpointError(f"{path} is missing; expected the file as its model was saved") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); expected a file") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); expected the file as its model was saved") from error
    if not isinstance(content, kind):
        raise CheckpointError(f"{path}: found a {type(content).__name__}; expected a {kind.__name__}")
    return content


def refuse_huge(path: Path) -> None:
    """Raise CheckpointError for a configuration or vocabulary file too large to belong to a model, or a pipe or device.

    Raises OSError where there is no such file.
    """
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # a pipe, or a device that never ends
        raise CheckpointError(f"{path} is neither a file nor a folder; expected a file")
    if found.st_size > MAX_BYTES:
        raise CheckpointError(f"{path} has {found.st_size:,} bytes; expected at most {MAX_BYTES:,}")


def write_json(path: Path, record: object) -> None:
    """Write a JSON file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8", newline="\n")
