"""The passages that were deleted last, by number: what a reader in memory has to drop to follow the database."""

from __future__ import annotations

import sqlite3

import numpy as np
from numpy.typing import NDArray

#: Deletions that are kept. A reader that has missed more reads everything anew.
_KEPT = 8192

#: Steps are consecutive, and the last one is always there.
DELETIONS_TABLE = "CREATE TABLE deletions (step INTEGER PRIMARY KEY, number INTEGER NOT NULL)"


class Deletions:
    """The table of one database. All methods are to be called within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: to a database that has DELETIONS_TABLE."""
        self._connection = connection

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Say that the passages of these numbers are gone."""
        last = self.last_step() + len(numbers)
        kept = numbers[-_KEPT:].tolist()
        steps = range(last - len(kept) + 1, last + 1)
        self._connection.executemany("INSERT INTO deletions VALUES (?, ?)", zip(steps, kept, strict=True))
        self._connection.execute("DELETE FROM deletions WHERE step <= ?", (last - _KEPT,))

    def last_step(self) -> int:
        """The step of the last deletion; 0 where there was none."""
        [(step,)] = self._connection.execute("SELECT COALESCE(MAX(step), 0) FROM deletions")
        return int(step)

    def since(self, step: int) -> NDArray[np.int64] | None:
        """The numbers of the passages that were deleted after a step; None where not all of them are kept."""
        [(first,)] = self._connection.execute("SELECT COALESCE(MIN(step), 1) FROM deletions")
        if first > step + 1:
            return None
        rows = self._connection.execute("SELECT number FROM deletions WHERE step > ?", (step,)).fetchall()
        if not all(isinstance(number, int) for (number,) in rows):
            raise sqlite3.DatabaseError("a passage that was deleted has no number")
        return np.array([number for (number,) in rows], np.int64)
