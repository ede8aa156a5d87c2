"""A BM25 index of passages that is added to and deleted from, in memory or in one file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.passage import PassageLike, as_ids, as_passages, as_queries
from dpr_tiny_retriever.retrieval.bm25_postings import POSTINGS_TABLES, Postings
from dpr_tiny_retriever.retrieval.bm25_words import bm25_words
from dpr_tiny_retriever.retrieval.fusion import RankedList
from dpr_tiny_retriever.retrieval.sqlite_file import MEMORY, SqliteFile
from dpr_tiny_retriever.types import Array

#: Raised whenever the tables or what stands in them change: an older file is refused, not misread.
FORMAT_VERSION = 2
#: How SQLite tells a file of ours from any other: "DPRW".
_APPLICATION_ID = 0x44505257

_TABLES = (
    # AUTOINCREMENT: the number of a deleted passage is never used again.
    "CREATE TABLE passages (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE)",
    *POSTINGS_TABLES,
)


class BM25Index:
    """Okapi BM25 in Lucene's form over the lower-cased words of title and text, without function words.

    It ranks as evaluation's BM25 does, after every add and delete: document frequencies and lengths are exact. Texts
    are not kept, only their words. Thread-safe; a file survives a kill and may be searched by several processes while
    one writes. Memory while searching: 4 bytes a passage; on disk some 400 bytes for a passage of 100 words.
    """

    def __init__(self, path: str | os.PathLike[str] = MEMORY) -> None:
        """Open an index, or begin one where there is no file; without a path it is in memory.

        Raises UnusableIndexError where the file is damaged, of another program or of another version.
        """
        self._file = SqliteFile(
            path, application_id=_APPLICATION_ID, format_version=FORMAT_VERSION, tables=_TABLES, info={}
        )
        self._postings = Postings(self._file.connection)

    def close(self) -> None:
        """Close the file; an index in memory is gone."""
        self._file.close()

    def __enter__(self) -> BM25Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        with self._file.transaction():
            return self._count()

    def ids(self) -> list[str]:
        """The ids of all passages, in the order in which they were added."""
        with self._file.transaction():
            return [id for (id,) in self._file.connection.execute("SELECT id FROM passages ORDER BY number")]

    def add(self, ids: Sequence[str], passages: Iterable[PassageLike]) -> None:
        """Add passages under ids, all or none of them; a passage of the same id is replaced, and counts as added last.

        Raises TypeError for an id that is no str, ValueError for an id that is given twice and for other than one id a
        passage.
        """
        pairs = as_passages(passages)
        names = as_ids(ids)
        if len(names) != len(pairs):
            raise ValueError(f"found {len(names)} ids and {len(pairs)} passages; expected one id for each passage")
        if len(set(names)) < len(names):
            repeated = next(id for id in names if names.count(id) > 1)
            raise ValueError(f"the id {repeated!r} is given twice; expected each id once")
        with self._file.transaction(write=True):
            self._delete(names)
            self._file.connection.executemany("INSERT INTO passages (id) VALUES (?)", ((id,) for id in names))
            self._postings.insert(self._numbers(names), pairs)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages by id; returns how many there were, since an unknown id is passed over."""
        names = as_ids(ids)
        with self._file.transaction(write=True):
            return self._delete(set(names))

    def search(self, question: str, k: int, *, among: Iterable[str] | None = None) -> RankedList:
        """Return the ids and scores, float32, of the k best passages, best first; among equals the one added first.

        A passage that shares no counted word with the question is not found, so there may be none. among: the ids to
        choose from, where unknown ones are passed over; scores are those of the whole index. Raises ValueError for a k
        below 1.
        """
        [checked] = as_queries([question])
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        words, chosen = bm25_words(checked), None if among is None else set(as_ids(among))
        with self._file.transaction():
            if chosen is None or len(chosen) ** 2 <= k * self._count():
                numbers, scores = self._best(words, k, None if chosen is None else self._numbers(chosen))
                return RankedList([self._id(number) for number in numbers.tolist()], scores)
            # To look up many ids takes longer than to go down the whole ranking, of which they are a large part.
            numbers, scores = self._best(words, self._count(), None)
            ranked = ((row, self._id(number)) for row, number in enumerate(numbers.tolist()))
            found = list(islice(((row, id) for row, id in ranked if id in chosen), k))
        return RankedList([id for _, id in found], scores[[row for row, _ in found]])

    def _best(self, words: Sequence[str], k: int, among: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], Array]:
        return self._postings.search(words, k, changes=self._file.changes(), among=among)

    def _count(self) -> int:
        [(count,)] = self._file.connection.execute("SELECT COUNT(*) FROM passages")
        return int(count)

    def _id(self, number: int) -> str:
        query = "SELECT id FROM passages WHERE number = ?"
        return str(self._file.connection.execute(query, (number,)).fetchone()[0])

    def _delete(self, ids: Collection[str]) -> int:
        numbers = np.sort(self._numbers(ids))
        self._file.connection.executemany("DELETE FROM passages WHERE number = ?", ((n,) for n in numbers.tolist()))
        self._postings.delete(numbers)
        return len(numbers)

    def _numbers(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """The numbers of those of the ids that are there, in the order of the ids."""
        query = "SELECT number FROM passages WHERE id = ?"
        rows = (self._file.connection.execute(query, (id,)).fetchone() for id in ids)
        return np.array([row[0] for row in rows if row is not None], np.int64)
