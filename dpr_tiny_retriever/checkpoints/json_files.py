"""The JSON files of a model folder, with errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from dpr_tiny_retriever.errors import CheckpointError

Kind = TypeVar("Kind", dict[str, Any], list[Any])


def read_json(path: Path, kind: type[Kind], *, missing: Kind | None = None) -> Kind:
    """Read a JSON object or list; where there is no file, return `missing`, or raise CheckpointError if it is None."""
    try:
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


def write_json(path: Path, record: object) -> None:
    """Write a JSON file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
