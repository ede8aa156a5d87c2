"""The SQLite file behind a passage index: its tables, its transactions, and what can be wrong with a file."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.types import Array, Vectors

#: Raised whenever the tables or what stands in them change: an older file is refused, not misread.
FORMAT_VERSION = 1
#: How SQLite tells a file of ours from any other: "DPRT".
_APPLICATION_ID = 0x44505254
#: Passages whose vectors share a row: few large rows are read several times faster than one row a passage.
_BLOCK_SIZE = 256
#: Seconds to wait while another process writes; one transaction takes milliseconds.
_BUSY_TIMEOUT = 60.0
#: What SQLite says of the disk or of other processes; every other error means that the file is damaged.
_ENVIRONMENT_ERRORS = ("locked", "full", "readonly", "disk I/O", "unable to open")

_TABLES = (
    "CREATE TABLE info (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "CREATE TABLE passages (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,"
    " text TEXT NOT NULL, source TEXT NOT NULL, metadata TEXT NOT NULL)",
    # The vectors of the passages with number // 256 == block, float32 [n, dim], and their numbers, int64 [n].
    "CREATE TABLE vectors (block INTEGER PRIMARY KEY, numbers BLOB NOT NULL, vectors BLOB NOT NULL)",
    "CREATE TABLE sources (source TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True)
class IndexedPassage:
    """A passage as an index keeps it: under an id, with where it comes from and any metadata that JSON can hold."""

    id: str
    title: str
    text: str
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


class IndexFile:
    """One open file. Thread-safe; several processes may read while one writes.

    All methods but close are to be called within a transaction, which sees the file as it was when it began.
    """

    def __init__(self, path: Path, *, model: str, fingerprint: str, dim: int) -> None:
        """Open a file of vectors of this width that this model made, or begin one.

        Raises UnusableIndexError where the file is damaged or of another format or model, OSError where it cannot be
        read or written.
        """
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; expected the path of an index file, which may be a new one")
        self.path = path
        self._dim = dim
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _connect(path)
        try:
            with self._named_errors():
                self._begin({"format": FORMAT_VERSION, "fingerprint": fingerprint, "model": model, "changes": 0})
            with self.transaction():
                self._check_model(model, fingerprint)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[None]:
        """See one state of the file; with write=True, change it wholly or, on an error or a kill, not at all."""
        with self._lock, self._named_errors():
            self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield
                if write:
                    self._connection.execute("UPDATE info SET value = value + 1 WHERE key = 'changes'")
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # there may be no transaction left, and the first error counts
                    self._connection.execute("ROLLBACK")
                raise

    def changes(self) -> int:
        """How many transactions have changed the file so far."""
        return int(self._info()["changes"])

    def count(self) -> int:
        """How many passages there are."""
        [(count,)] = self._connection.execute("SELECT COUNT(*) FROM passages")
        return int(count)

    def present(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that there are passages of."""
        query = "SELECT 1 FROM passages WHERE id = ?"
        return {id for id in ids if self._connection.execute(query, (id,)).fetchone()}

    def sources_of_ids(self) -> dict[str, str]:
        """The source of every passage, by its id."""
        return dict(self._connection.execute("SELECT id, source FROM passages"))

    def insert(self, passages: Sequence[IndexedPassage], vectors: Vectors) -> None:
        """Add passages under new ids, with their vectors [n, dim]."""
        [(first,)] = self._connection.execute("SELECT COALESCE(MAX(number) + 1, 0) FROM passages")
        numbers = np.arange(first, first + len(passages))
        self._connection.executemany(
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

    def delete(self, ids: Collection[str]) -> int:
        """Remove passages and their vectors; returns how many there were."""
        query = "SELECT number FROM passages WHERE id = ?"
        gone = np.array([row[0] for id in ids for row in self._connection.execute(query, (id,))], np.int64)
        self._connection.executemany("DELETE FROM passages WHERE number = ?", ((number,) for number in gone.tolist()))
        for block in np.unique(gone // _BLOCK_SIZE).tolist():
            numbers, vectors = self._read_block(block)
            left = ~np.isin(numbers, gone)
            self._write_block(block, numbers[left], vectors[left])
        return len(gone)

    def vectors(self) -> tuple[NDArray[np.int64], Vectors]:
        """The numbers [n] of all passages and their vectors [n, dim], read into memory."""
        [(count,)] = self._connection.execute("SELECT COALESCE(SUM(LENGTH(numbers)), 0) / 8 FROM vectors")
        numbers, vectors = np.empty(count, np.int64), np.empty((count, self._dim), np.float32)
        filled = 0
        for block in self._connection.execute("SELECT numbers, vectors FROM vectors ORDER BY block"):
            some_numbers, some_vectors = self._decoded(*block)
            rows = slice(filled, filled + len(some_numbers))
            numbers[rows], vectors[rows] = some_numbers, some_vectors
            filled = rows.stop
        return numbers, vectors

    def passage(self, number: int) -> IndexedPassage:
        """The passage of a number that vectors() names."""
        query = "SELECT id, title, text, source, metadata FROM passages WHERE number = ?"
        row = self._connection.execute(query, (number,)).fetchone()
        if row is None:
            self._refuse_damaged("a vector belongs to no passage")
        id, title, text, source, metadata = row
        return IndexedPassage(id, title, text, source, json.loads(metadata))

    def stamps(self) -> dict[str, str]:
        """The state of each source when its passages were last brought up to date."""
        return dict(self._connection.execute("SELECT source, stamp FROM sources"))

    def set_stamps(self, stamps: Mapping[str, str]) -> None:
        """Replace all stamps."""
        self._connection.execute("DELETE FROM sources")
        self._connection.executemany("INSERT INTO sources VALUES (?, ?)", stamps.items())

    def _begin(self, info: Mapping[str, object]) -> None:
        """Make the tables of a new file, or refuse a file that is not ours."""
        [(application_id,)] = self._connection.execute("PRAGMA application_id")
        if application_id == 0:
            self._connection.execute("BEGIN IMMEDIATE")
            [(tables,)] = self._connection.execute("SELECT COUNT(*) FROM sqlite_master")
            [(application_id,)] = self._connection.execute("PRAGMA application_id")
            if not tables:
                for table in _TABLES:
                    self._connection.execute(table)
                self._connection.executemany("INSERT INTO info VALUES (?, ?)", info.items())
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                application_id = _APPLICATION_ID
            self._connection.execute("COMMIT")
        if application_id != _APPLICATION_ID:
            raise UnusableIndexError(
                f"{self.path} is a database of another program", "expected an index, or the path of a new one"
            )
        with suppress(sqlite3.OperationalError):
            # Readers go on while one writes. Where it cannot be had (network folders, read-only ones, or while another
            # process opens the file) they wait for each other instead.
            self._connection.execute("PRAGMA journal_mode = WAL")

    def _check_model(self, model: str, fingerprint: str) -> None:
        info = self._info()
        if info["format"] != FORMAT_VERSION:
            raise UnusableIndexError(
                f"{self.path} is an index of format {info['format']}, made by another version",
                f"expected format {FORMAT_VERSION}: remove the file, or name another, and index anew",
            )
        if info["fingerprint"] != fingerprint:
            raise UnusableIndexError(
                f"{self.path} holds vectors of the model {info['model']!r} ({info['fingerprint'][:8]})",
                f"expected those of {model!r} ({fingerprint[:8]}): open it with the model that made it, or name "
                "another file",
            )

    def _info(self) -> dict[str, Any]:
        info = dict(self._connection.execute("SELECT key, value FROM info"))
        if missing := {"format", "fingerprint", "model", "changes"} - info.keys():
            self._refuse_damaged(f"it does not say its {', '.join(sorted(missing))}")
        return info

    def _read_block(self, block: int) -> tuple[NDArray[np.int64], Array]:
        query = "SELECT numbers, vectors FROM vectors WHERE block = ?"
        return self._decoded(*(self._connection.execute(query, (block,)).fetchone() or (b"", b"")))

    def _write_block(self, block: int, numbers: NDArray[np.int64], vectors: Vectors) -> None:
        self._connection.execute("DELETE FROM vectors WHERE block = ?", (block,))
        if len(numbers):
            blobs = numbers.astype("<i8").tobytes(), vectors.astype("<f4").tobytes()
            self._connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (block, *blobs))

    def _decoded(self, numbers: bytes, vectors: bytes) -> tuple[NDArray[np.int64], Array]:
        if len(numbers) % 8 or len(vectors) != len(numbers) // 8 * self._dim * 4:
            self._refuse_damaged(f"{len(vectors)} bytes of vectors stand beside {len(numbers)} of numbers")
        return np.frombuffer(numbers, "<i8"), np.frombuffer(vectors, "<f4").reshape(-1, self._dim)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Name the file in SQLite's errors, and tell a damaged file from a full disk."""
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise ValueError(f"the index {self.path} is closed; open it again") from error
        except sqlite3.Error as error:
            if any(words in str(error) for words in _ENVIRONMENT_ERRORS):
                raise OSError(f"{self.path}: {error}") from error
            self._refuse_damaged(str(error), error)

    def _refuse_damaged(self, reason: str, error: Exception | None = None) -> NoReturn:
        raise UnusableIndexError(
            f"{self.path} is no index, or a damaged one ({reason})", "remove the file, and index anew"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        if path.exists() and not os.access(path.parent, os.W_OK):
            # Where SQLite can put no file beside this one, it reads it on the word that nobody changes it.
            address = f"{path.resolve().as_uri()}?immutable=1"
            return sqlite3.connect(address, isolation_level=None, check_same_thread=False, uri=True)
        return sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: {error}") from error


def remove_index_file(path: Path) -> None:
    """Remove an index file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
