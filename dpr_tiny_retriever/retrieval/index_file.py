"""The SQLite file behind a passage index: its tables, and the model that it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.model_stamp import another_model
from dpr_tiny_retriever.passage import refuse_surrogates
from dpr_tiny_retriever.retrieval.bm25_postings import POSTINGS_TABLES, Postings
from dpr_tiny_retriever.retrieval.deletions import Deletions
from dpr_tiny_retriever.retrieval.fusion import RankedList
from dpr_tiny_retriever.retrieval.metadata_labels import metadata_labels
from dpr_tiny_retriever.retrieval.sqlite_file import SqliteFile
from dpr_tiny_retriever.types import Array, Vectors

#: Raised whenever the tables or what stands in them change: an older file is refused, not misread.
FORMAT_VERSION = 3
#: How SQLite tells a file of ours from any other: "DPRT".
_APPLICATION_ID = 0x44505254
#: Passages whose vectors share a row: few large rows are read several times faster than one row a passage.
_BLOCK_SIZE = 256
#: What SQLite adds to the name of an index file for those that it keeps beside it.
INDEX_FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")

_TABLES = (
    # AUTOINCREMENT: the number of a deleted passage is never used again.
    "CREATE TABLE passages (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,"
    " text TEXT NOT NULL, source TEXT NOT NULL, metadata TEXT NOT NULL)",
    # The vectors of the passages with number // 256 == block, float32 [n, dim], and their numbers, int64 [n].
    "CREATE TABLE vectors (block INTEGER PRIMARY KEY, numbers BLOB NOT NULL, vectors BLOB NOT NULL)",
    "CREATE TABLE sources (source TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID",
    *POSTINGS_TABLES,
)


@dataclass(frozen=True)
class IndexedPassage:
    """A passage as an index keeps it: under an id, with where it comes from and any metadata that JSON can hold."""

    id: str
    title: str
    text: str
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def check(self) -> None:
        """Raise TypeError or ValueError where the index cannot hold what is here."""
        for name in ("id", "title", "text", "source"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"the {name} of the passage {self.id!r} is {value!r}; expected str")
            refuse_surrogates(value, f"the {name} of the passage {self.id!r}")
        if not isinstance(self.metadata, Mapping):
            raise TypeError(f"the metadata of the passage {self.id!r} are {self.metadata!r}; expected a dictionary")
        if not self.metadata:
            return
        try:
            if json.loads(json.dumps(dict(self.metadata))) == dict(self.metadata):
                return
            problem = "JSON changes them"
        except (TypeError, ValueError) as error:
            problem = str(error)
        raise TypeError(
            f"the metadata of the passage {self.id!r} are {self.metadata!r}; expected what JSON can hold ({problem})"
        )


class IndexFile(SqliteFile):
    """One open file of passages. All methods but close are to be called within a transaction."""

    def __init__(self, path: str | os.PathLike[str], *, model: str, fingerprint: str, dim: int) -> None:
        """Open a file of vectors of this width that this model made, or begin one.

        Raises UnusableIndexError where the file is damaged or of another format or model, OSError where it cannot be
        read or written.
        """
        super().__init__(
            path,
            application_id=_APPLICATION_ID,
            format_version=FORMAT_VERSION,
            tables=_TABLES,
            info={"fingerprint": fingerprint, "model": model},
        )
        self._dim = dim
        self._postings = Postings(self.connection)
        self.deletions = Deletions(self.connection)
        try:
            with self.transaction():
                self._check_model(model, fingerprint)
        except BaseException:
            self.close()
            raise

    def count(self) -> int:
        """How many passages there are."""
        [(count,)] = self.connection.execute("SELECT COUNT(*) FROM passages")
        return int(count)

    def ids(self) -> list[str]:
        """The ids of all passages, in the order in which they were added."""
        return [id for (id,) in self.connection.execute("SELECT id FROM passages ORDER BY number")]

    def present(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that there are passages of."""
        query = "SELECT 1 FROM passages WHERE id = ?"
        return {id for id in ids if self.connection.execute(query, (id,)).fetchone()}

    def sources_of_ids(self) -> dict[str, str]:
        """The source of every passage, by its id."""
        return dict(self.connection.execute("SELECT id, source FROM passages"))

    def insert(self, passages: Sequence[IndexedPassage], vectors: Vectors) -> None:
        """Add passages under new ids, with their vectors [n, dim], words and metadata."""
        [(last,)] = self.connection.execute("SELECT COALESCE(SUM(seq), 0) FROM sqlite_sequence WHERE name = 'passages'")
        numbers = np.arange(last + 1, last + 1 + len(passages))
        self.connection.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
            (
                (number, passage.id, passage.title, passage.text, passage.source, json.dumps(dict(passage.metadata)))
                for number, passage in zip(numbers.tolist(), passages, strict=True)
            ),
        )
        for block in np.unique(numbers // _BLOCK_SIZE).tolist():
            added = numbers // _BLOCK_SIZE == block
            held_numbers, held_vectors = self._read_block(block)
            self._write_block(
                block, np.concatenate([held_numbers, numbers[added]]), np.concatenate([held_vectors, vectors[added]])
            )
        self._postings.insert(
            numbers, [(passage.title, passage.text) for passage in passages], [_labels(passage) for passage in passages]
        )

    def delete(self, ids: Collection[str]) -> int:
        """Remove passages, their vectors, words and metadata; returns how many there were."""
        query = "SELECT number FROM passages WHERE id = ?"
        gone = np.array([number for id in ids for (number,) in self.connection.execute(query, (id,))], np.int64)
        self.connection.executemany("DELETE FROM passages WHERE number = ?", ((number,) for number in gone.tolist()))
        for block in np.unique(gone // _BLOCK_SIZE).tolist():
            numbers, vectors = self._read_block(block)
            left = ~np.isin(numbers, gone)
            self._write_block(block, numbers[left], vectors[left])
        self._postings.delete(gone)
        return len(gone)

    def labelled(self, allowed: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """The numbers, ascending, of the passages that have one label of each of these lists; see allowed_labels."""
        return self._postings.labelled(allowed, changes=self.changes())

    def search_words(self, words: Sequence[str], k: int, *, among: NDArray[np.int64] | None) -> RankedList:
        """The numbers of the k best passages by BM25, of those among these numbers; None is all."""
        return RankedList(*self._postings.search(words, k, changes=self.changes(), among=among))

    def vectors(self) -> tuple[NDArray[np.int64], Vectors]:
        """The numbers [n], ascending, of all passages and their vectors [n, dim], read into memory."""
        [(count,)] = self.connection.execute("SELECT COALESCE(SUM(LENGTH(numbers)), 0) / 8 FROM vectors")
        numbers, vectors, filled = np.empty(count, np.int64), np.empty((count, self._dim), np.float32), 0
        for some_numbers, some_vectors in self.vectors_after(0):
            rows = slice(filled, filled + len(some_numbers))
            numbers[rows], vectors[rows] = some_numbers, some_vectors
            filled = rows.stop
        return numbers, vectors

    def vectors_after(self, number: int) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """The numbers [n], ascending, and vectors [n, dim] of passages with higher numbers, 256 or fewer at once."""
        query = "SELECT numbers, vectors FROM vectors WHERE block >= ? ORDER BY block"
        for block in self.connection.execute(query, (number // _BLOCK_SIZE,)):
            numbers, vectors = self._decoded(*block)
            first = int(np.searchsorted(numbers, number, side="right"))
            yield numbers[first:], vectors[first:]

    def passage(self, number: int) -> IndexedPassage:
        """The passage of a number that vectors() or search_words() names."""
        query = "SELECT id, title, text, source, metadata FROM passages WHERE number = ?"
        row = self.connection.execute(query, (number,)).fetchone()
        if row is None:
            self.refuse_damaged("a vector belongs to no passage")
        return self._passage(*row)

    def passage_of_id(self, id: str) -> IndexedPassage | None:
        """The passage of an id, if there is one."""
        query = "SELECT id, title, text, source, metadata FROM passages WHERE id = ?"
        row = self.connection.execute(query, (id,)).fetchone()
        return None if row is None else self._passage(*row)

    def stamps(self) -> dict[str, str]:
        """The state of each source when its passages were last brought up to date."""
        return dict(self.connection.execute("SELECT source, stamp FROM sources"))

    def set_stamps(self, stamps: Mapping[str, str]) -> None:
        """Replace all stamps."""
        self.connection.execute("DELETE FROM sources")
        self.connection.executemany("INSERT INTO sources VALUES (?, ?)", stamps.items())

    def _check_model(self, model: str, fingerprint: str) -> None:
        if other := another_model(self.info(), model=model, fingerprint=fingerprint):
            found, expected = other
            remedy = "open it with the model that made it, or name another file"
            raise UnusableIndexError(f"{self.path} holds {found}", f"{expected}: {remedy}")

    def _passage(self, *fields: object) -> IndexedPassage:
        """Build a passage from a row: id, title, text, source, and metadata as JSON."""
        *texts, metadata = fields
        try:
            decoded = json.loads(metadata)  # type: ignore[arg-type]
        except (TypeError, ValueError, RecursionError):
            decoded = None
        if not isinstance(decoded, dict) or not all(isinstance(text, str) for text in texts):
            self.refuse_damaged(f"the passage {str(texts[0])[:80]!r} has no texts, or no metadata")
        return IndexedPassage(*texts, decoded)  # type: ignore[arg-type, call-arg]

    def _read_block(self, block: int) -> tuple[NDArray[np.int64], Array]:
        query = "SELECT numbers, vectors FROM vectors WHERE block = ?"
        return self._decoded(*(self.connection.execute(query, (block,)).fetchone() or (b"", b"")))

    def _write_block(self, block: int, numbers: NDArray[np.int64], vectors: Vectors) -> None:
        self.connection.execute("DELETE FROM vectors WHERE block = ?", (block,))
        if len(numbers):
            blobs = numbers.astype("<i8").tobytes(), vectors.astype("<f4").tobytes()
            self.connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (block, *blobs))

    def _decoded(self, numbers: bytes, vectors: bytes) -> tuple[NDArray[np.int64], Array]:
        if not (isinstance(numbers, bytes) and isinstance(vectors, bytes)):
            self.refuse_damaged("texts stand in the place of vectors")
        if len(numbers) % 8 or len(vectors) != len(numbers) // 8 * self._dim * 4:
            self.refuse_damaged(f"{len(vectors)} bytes of vectors stand beside {len(numbers)} of numbers")
        return np.frombuffer(numbers, "<i8"), np.frombuffer(vectors, "<f4").reshape(-1, self._dim)


def _labels(passage: IndexedPassage) -> list[str]:
    """What a filter can name: the metadata and, unless they have a field of that name, the source."""
    return metadata_labels({"source": passage.source, **passage.metadata})


def remove_index_file(path: Path) -> None:
    """Remove an index file and what SQLite keeps beside it."""
    for suffix in INDEX_FILE_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
