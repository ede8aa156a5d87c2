"""Which numbered passages have which metadata: a table of a SQLite database, and what a search can ask of it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scalar: TypeAlias = "str | int | float | bool | None"
#: Metadata key -> the value that a passage must have, or several of which it must have one.
Where: TypeAlias = "Mapping[str, Scalar | Iterable[Scalar]]"

_SCALARS = (str, int, float, bool, type(None))
#: A longer entry is kept as a digest, so that a text in the metadata is not stored twice.
_LONGEST_ENTRY = 100
_KINDS = "a text, a number, True, False or None"

#: An entry is a key and its value as JSON. WITHOUT ROWID, so the rows of an entry lie side by side.
METADATA_TABLE = (
    "CREATE TABLE metadata (entry TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (entry, number)) WITHOUT ROWID"
)


class MetadataTable:
    """The table of one database. All methods are to be called within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: to a database that has METADATA_TABLE."""
        self._connection = connection

    def insert(self, numbers: Iterable[int], metadata: Iterable[Mapping[str, Any]]) -> None:
        """Add the metadata of passages; lists and dictionaries among the values cannot be searched for."""
        self._connection.executemany("INSERT INTO metadata VALUES (?, ?)", _rows(numbers, metadata))

    def delete(self, numbers: Iterable[int], metadata: Iterable[Mapping[str, Any]]) -> None:
        """Remove what insert added."""
        query = "DELETE FROM metadata WHERE entry = ? AND number = ?"
        self._connection.executemany(query, _rows(numbers, metadata))

    def numbers(self, allowed: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """The numbers, ascending, of the passages that have one entry of each list, of which there is one at least."""
        found = [self._having(entries) for entries in allowed]
        return reduce(partial(np.intersect1d, assume_unique=True), found)

    def _having(self, entries: Sequence[str]) -> NDArray[np.int64]:
        query = "SELECT number FROM metadata WHERE entry = ?"
        rows = (self._connection.execute(query, (entry,)) for entry in entries)
        return np.unique(np.fromiter((number for part in rows for (number,) in part), np.int64))


def allowed_entries(where: Where) -> list[list[str]]:
    """The entries that each key of a filter allows; raises TypeError where it is none."""
    if not isinstance(where, Mapping):
        raise TypeError(f"where is {where!r}; expected a dictionary: metadata key -> a value, or a list of values")
    allowed = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise TypeError(f"where has the key {key!r}; expected the name of a metadata field")
        values: Sequence[Any] = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        if not all(isinstance(one, _SCALARS) for one in values):
            raise TypeError(f"where[{key!r}] is {value!r}; expected {_KINDS}, or a list of these")
        allowed.append(sorted({_entry(key, one) for one in values}))
    return allowed


def _rows(numbers: Iterable[int], metadata: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, int]]:
    return (
        (_entry(key, value), number)
        for number, fields in zip(numbers, metadata, strict=True)
        for key, value in fields.items()
        if isinstance(value, _SCALARS)
    )


def _entry(key: str, value: Scalar) -> str:
    """A key and its value as one text; 2020.0 is 2020, but True is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    entry = json.dumps([key, value])
    return entry if len(entry) <= _LONGEST_ENTRY else hashlib.blake2b(entry.encode(), digest_size=16).hexdigest()
