"""Metadata of passages, and filters of a search, as labels: texts that stand for a key and its value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from typing import Any, TypeAlias

Scalar: TypeAlias = "str | int | float | bool | None"
#: Metadata key -> the value that a passage must have, or several of which it must have one.
Where: TypeAlias = "Mapping[str, Scalar | Sequence[Scalar] | Set[Scalar]]"

_SCALARS = (str, int, float, bool, type(None))
_KINDS = "a text, a number, True, False or None"
#: A longer label is a digest, so that a text in the metadata is not stored twice.
_LONGEST_LABEL = 100


def metadata_labels(metadata: Mapping[str, Any]) -> list[str]:
    """Return a label for each field; lists and dictionaries among the values have none."""
    return [_label(key, value) for key, value in metadata.items() if isinstance(value, _SCALARS)]


def allowed_labels(where: Where) -> list[list[str]]:
    """Return the labels that each key of a filter allows; raises TypeError where it is no filter."""
    if not isinstance(where, Mapping):
        raise TypeError(f"where is {where!r}; expected a dictionary: metadata key -> a value, or a list of values")
    allowed = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise TypeError(f"where has the key {key!r}; expected the name of a metadata field")
        values: Sequence[Any] = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        if not all(isinstance(one, _SCALARS) for one in values):
            raise TypeError(f"where[{key!r}] is {value!r}; expected {_KINDS}, or a list of these")
        allowed.append([_label(key, one) for one in values])
    return allowed


def _label(key: str, value: Scalar) -> str:
    """Key and value as JSON, whose brackets no word has; 2020.0 is 2020, but True is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    label = json.dumps([key, value])
    return label if len(label) <= _LONGEST_LABEL else f"[{hashlib.blake2b(label.encode(), digest_size=16).hexdigest()}]"
