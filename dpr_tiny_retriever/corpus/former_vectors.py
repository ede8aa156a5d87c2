"""The vectors of a folder that is brought up to date, found by id and content, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.corpus.shard_folder import ShardFolder
from dpr_tiny_retriever.corpus.shards import read_rows

_IDS_AT_ONCE = 500
_SHARDS_KEPT = 2

#: Where a vector was: the shard's place among the records, and the row in it.
_Place = tuple[int, int]


class FormerVectors:
    """Looks up what a folder of shards holds already, and remembers which of its ids have been met.

    Keeps a table on disk, some 60 bytes a row, and the vectors of two shards in memory.
    """

    def __init__(self, folder: ShardFolder, table: Path) -> None:
        """Write the table of all rows into a new file."""
        self._folder = folder
        self._loaded: dict[int, NDArray[Any]] = {}
        table.unlink(missing_ok=True)
        # Rows are read in whatever thread the encoder reads its texts in, one at a time.
        self._table = sqlite3.connect(table, isolation_level=None, check_same_thread=False)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute(
            "CREATE TABLE rows (id TEXT PRIMARY KEY, digest BLOB, shard INTEGER, row INTEGER, met INTEGER DEFAULT 0) "
            "WITHOUT ROWID"
        )
        for number, record in enumerate(folder.manifest.shards):
            rows = read_rows(folder.path / record.files[0], carried=())
            good = [row for row, is_bad in enumerate(rows.is_bad) if not is_bad]
            self._table.execute("BEGIN")
            self._table.executemany(
                "INSERT OR REPLACE INTO rows (id, digest, shard, row) VALUES (?, ?, ?, ?)",
                ((rows.ids[row], rows.digests[row], number, row) for row in good),
            )
            self._table.execute("COMMIT")

    def meet(self, ids: Sequence[str]) -> None:
        """Remember that these ids are in the inputs still."""
        self._table.execute("BEGIN")
        self._table.executemany("UPDATE rows SET met = 1 WHERE id = ?", ((id,) for id in ids))
        self._table.execute("COMMIT")

    def find(self, ids: Sequence[str], digests: Sequence[bytes]) -> dict[int, NDArray[Any]]:
        """The stored vectors of rows whose id and content are known, by their place among these."""
        places: dict[str, tuple[bytes, _Place]] = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            asked = ids[start : start + _IDS_AT_ONCE]
            marks = ", ".join("?" * len(asked))
            query = f"SELECT id, digest, shard, row FROM rows WHERE id IN ({marks})"
            places |= {id: (digest, (shard, row)) for id, digest, shard, row in self._table.execute(query, asked)}
        found = {}
        for number, (id, digest) in enumerate(zip(ids, digests, strict=True)):
            known, place = places.get(id, (b"", (0, 0)))
            if known == digest:
                found[number] = place
        # Copies, since a view would keep its whole shard in memory.
        by_shard = sorted(found.items(), key=lambda item: item[1])
        return {number: self._vectors(shard)[row].copy() for number, (shard, row) in by_shard}

    def gone(self) -> Iterator[str]:
        """The ids that have not been met, in the order of the former folder."""
        for (id,) in self._table.execute("SELECT id FROM rows WHERE met = 0 ORDER BY shard, row"):
            yield id

    def close(self) -> None:
        """Close the table."""
        self._table.close()

    def _vectors(self, number: int) -> NDArray[Any]:
        if number not in self._loaded:
            if len(self._loaded) == _SHARDS_KEPT:
                del self._loaded[next(iter(self._loaded))]
            record = self._folder.manifest.shards[number]
            self._loaded[number] = np.asarray(read_rows(self._folder.path / record.files[0], carried=()).vectors)
        return self._loaded[number]
