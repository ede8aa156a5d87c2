"""A log of recent deletions in an index's database, from which readers update what they hold in memory."""

from __future__ import annotations

import sqlite3

import numpy as np
from numpy.typing import NDArray

#: Length of the log. A reader that is further behind reloads everything.
_KEPT = 8192

#: Steps are consecutive; the last one is always kept.
DELETIONS_TABLE = "CREATE TABLE deletions (step INTEGER PRIMARY KEY, number INTEGER NOT NULL)"


class Deletions:
    """The log of one database. Call its methods within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: to a database that has DELETIONS_TABLE."""
        self._connection = connection

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Log the deletion of passages, by number."""
        last = self.last_step() + len(numbers)
        kept = numbers[-_KEPT:].tolist()
        steps = range(last - len(kept) + 1, last + 1)
        self._connection.executemany("INSERT INTO deletions VALUES (?, ?)", zip(steps, kept, strict=True))
        self._connection.execute("DELETE FROM deletions WHERE step <= ?", (last - _KEPT,))

    def last_step(self) -> int:
        """Return the step of the last deletion; 0 if there was none."""
        [(step,)] = self._connection.execute("SELECT COALESCE(MAX(step), 0) FROM deletions")
        return int(step)

    def since(self, step: int) -> NDArray[np.int64] | None:
        """Return the numbers of the passages deleted after a step; None if the log does not reach that far back."""
        [(first,)] = self._connection.execute("SELECT COALESCE(MIN(step), 1) FROM deletions")
        if first > step + 1:
            return None
        rows = self._connection.execute("SELECT number FROM deletions WHERE step > ?", (step,)).fetchall()
        if not all(isinstance(number, int) for (number,) in rows):
            raise sqlite3.DatabaseError("a passage that was deleted has no number")
        return np.array([number for (number,) in rows], np.int64)
