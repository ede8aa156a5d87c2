"""The words and labels of numbered passages in tables of a SQLite database, and their BM25 scores.

A label is what a search can be confined by. It is kept as a word is, but adds nothing to a passage's length. Labels
begin with a bracket, which no word contains.

Passages are numbered in ascending order, and no number is used twice. 2,048 consecutive numbers form a block; a row of
the table holds one word's entries in one block, so that an added passage changes rows of the last block only, and a
question reads one row for each of its words in each block.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.retrieval.bm25_words import K1, B, passage_words
from dpr_tiny_retriever.retrieval.deletions import DELETIONS_TABLE, Deletions
from dpr_tiny_retriever.types import Array

Numbers = NDArray[np.int64]

_BLOCK_BITS = 11
_BLOCK_SIZE = 1 << _BLOCK_BITS
#: An entry is a uint32: how often the word stands in the passage, above the passage's number within its block.
_LARGEST_COUNT = (1 << (32 - _BLOCK_BITS)) - 1
#: The length of a passage that was deleted, or that is not there yet.
_ABSENT = -1
#: The change counter of a reader before its first load. Stored counters are never negative.
_NEVER = -1

POSTINGS_TABLES = (
    # deleted: passages that are gone, but of whose words there still are entries.
    "CREATE TABLE bm25_blocks (block INTEGER PRIMARY KEY, deleted INTEGER NOT NULL, lengths BLOB NOT NULL)",
    "CREATE TABLE bm25_postings (block INTEGER NOT NULL, word TEXT NOT NULL, entries BLOB NOT NULL,"
    " PRIMARY KEY (block, word)) WITHOUT ROWID",
    DELETIONS_TABLE,
)
# SQLite joins blobs byte by byte, but calls the result a text.
_APPEND_ENTRIES = (
    "INSERT INTO bm25_postings VALUES (?, ?, ?) ON CONFLICT (block, word)"
    " DO UPDATE SET entries = CAST(entries || excluded.entries AS BLOB)"
)
_ENTRIES_OF_WORD = (
    "SELECT block, entries FROM bm25_postings WHERE word = ? AND block IN (SELECT block FROM bm25_blocks)"
)


class Postings:
    """The tables of one database. All methods are to be called within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: to a database that has POSTINGS_TABLES."""
        self._connection = connection
        self._deletions = Deletions(connection)
        self._read_at = _NEVER  # the database's number of changes when what follows was read
        self._deletions_read = 0
        self._clear()

    def insert(
        self, numbers: Numbers, passages: Sequence[tuple[str, str]], labels: Sequence[Sequence[str]] | None = None
    ) -> None:
        """Add the words of (title, text) passages under ascending numbers, higher than all that were ever added.

        labels: those of each passage, each once.
        """
        blocks, starts = np.unique(numbers >> _BLOCK_BITS, return_index=True)
        for block, (start, stop) in zip(blocks.tolist(), pairwise([*starts.tolist(), len(numbers)]), strict=True):
            some_labels = [()] * (stop - start) if labels is None else labels[start:stop]
            self._insert(block, numbers[start:stop] % _BLOCK_SIZE, passages[start:stop], some_labels)

    def delete(self, numbers: Numbers) -> None:
        """Remove the words of passages; a block's rows are rewritten once half of its passages are gone."""
        self._deletions.add(numbers)
        for block in np.unique(numbers >> _BLOCK_BITS).tolist():
            gone = numbers[numbers >> _BLOCK_BITS == block] % _BLOCK_SIZE
            deleted, lengths = self._read_block(block)
            lengths[gone] = _ABSENT
            present = lengths != _ABSENT
            deleted += len(gone)
            if deleted > np.count_nonzero(present):
                self._drop_entries(block, present)
                deleted = 0
            self._write_block(block, deleted, lengths)

    def search(
        self, words: Sequence[str], k: int, *, changes: int, among: Numbers | None = None
    ) -> tuple[Numbers, Array]:
        """Return the numbers and scores, float32, of the k best passages, best first; among equals the lower number.

        A passage without any of the words is not found. A word that stands several times in words counts as often.
        changes: how often the database has been changed; when it differs, the lengths of new passages are read.
        among: the numbers to choose from; None is all. Document frequencies are those of the whole index anyway.
        """
        self._read_lengths(changes)
        terms_of_word = {word: self._terms(word) for word in dict.fromkeys(words)}
        # float32 sums of float32 terms in the order of the words, as bm25s computes them: equal scores stay equal.
        scores = np.zeros(len(self._lengths), np.float32)
        for word in words:
            rows, terms = terms_of_word[word]
            scores[rows] += terms
        found = np.flatnonzero(scores > 0)
        if among is not None:
            found = found[np.isin(self._numbers(found), among)]
        if k < len(found):
            lowest = np.partition(scores[found], -k)[-k]
            found = found[scores[found] >= lowest]
        found = found[np.argsort(-scores[found], kind="stable")][:k]
        return self._numbers(found), scores[found]

    def labelled(self, allowed: Sequence[Sequence[str]], *, changes: int) -> Numbers:
        """Return the numbers, ascending, of the passages that have one label of each of these lists."""
        self._read_lengths(changes)
        chosen = self._lengths != _ABSENT
        for labels in allowed:
            having = np.zeros(len(self._lengths), np.bool_)
            for label in labels:
                having[self._entries(label)[0]] = True
            chosen = chosen & having
        return self._numbers(np.flatnonzero(chosen))

    def _insert(
        self, block: int, offsets: Numbers, passages: Sequence[tuple[str, str]], labels: Sequence[Sequence[str]]
    ) -> None:
        """Append the entries of the passages at these offsets of a block."""
        number_of_word: defaultdict[str, int] = defaultdict(count().__next__)
        word_numbers: list[int] = []
        lengths_added, words_per_passage = [], []
        for (title, text), marks in zip(passages, labels, strict=True):
            words = passage_words(title, text)
            lengths_added.append(len(words))
            words_per_passage.append(len(words) + len(marks))
            word_numbers.extend(map(number_of_word.__getitem__, words))
            word_numbers.extend(map(number_of_word.__getitem__, marks))
        # One key for each word of each passage: sorted by word, then by passage, its repetitions side by side.
        keys, occurrences = np.unique(
            np.array(word_numbers, np.int64) << _BLOCK_BITS | np.repeat(offsets, words_per_passage), return_counts=True
        )
        entries = (np.minimum(occurrences, _LARGEST_COUNT) << _BLOCK_BITS | keys % _BLOCK_SIZE).astype("<u4").tobytes()
        ends = (4 * np.cumsum(np.bincount(keys >> _BLOCK_BITS, minlength=len(number_of_word)))).tolist()
        self._connection.executemany(
            _APPEND_ENTRIES,
            (
                (block, word, entries[start:stop])
                for word, (start, stop) in zip(number_of_word, pairwise([0, *ends]), strict=True)
            ),
        )
        deleted, lengths = self._read_block(block)
        lengths[offsets] = lengths_added
        self._write_block(block, deleted, lengths)

    def _drop_entries(self, block: int, present: NDArray[np.bool_]) -> None:
        """Rewrite a block's rows without the passages that are gone."""
        query = "SELECT word, entries FROM bm25_postings WHERE block = ? ORDER BY word"
        held = [(word, _decoded([entries], "<u4")) for word, entries in self._connection.execute(query, (block,))]
        left = [(word, entries[present[entries % _BLOCK_SIZE]]) for word, entries in held] if present.any() else []
        self._connection.execute("DELETE FROM bm25_postings WHERE block = ?", (block,))
        self._connection.executemany(
            "INSERT INTO bm25_postings VALUES (?, ?, ?)",
            ((block, word, entries.tobytes()) for word, entries in left if len(entries)),
        )

    def _read_block(self, block: int) -> tuple[int, NDArray[np.int32]]:
        query = "SELECT deleted, lengths FROM bm25_blocks WHERE block = ?"
        row = self._connection.execute(query, (block,)).fetchone()
        if row is None:
            return 0, np.full(_BLOCK_SIZE, _ABSENT, np.int32)
        if not isinstance(row[0], int):
            raise sqlite3.DatabaseError(f"{row[0]!r} stands where a number of passages belongs")
        return row[0], _decoded([row[1]], "<i4", _BLOCK_SIZE).copy()

    def _write_block(self, block: int, deleted: int, lengths: NDArray[np.int32]) -> None:
        if (lengths == _ABSENT).all():
            self._connection.execute("DELETE FROM bm25_blocks WHERE block = ?", (block,))
        else:
            query = "INSERT OR REPLACE INTO bm25_blocks VALUES (?, ?, ?)"
            self._connection.execute(query, (block, deleted, lengths.astype("<i4").tobytes()))

    def _read_lengths(self, changes: int) -> None:
        """Update the passage lengths in memory: read those of new passages, drop those of deleted ones."""
        if changes == self._read_at:
            return
        deleted = None if self._read_at == _NEVER else self._deletions.since(self._deletions_read)
        self._read_at = _NEVER  # in case the following fails
        if deleted is None:
            self._clear()
        else:
            self._drop(deleted)
        self._read_new_blocks()
        self._deletions_read = self._deletions.last_step()
        self._read_at = changes

    def _clear(self) -> None:
        self._last_block = 0
        self._blocks: Numbers = np.empty(0, np.int64)  # ascending; each has 2,048 rows in the array below
        self._lengths: NDArray[np.int32] = np.empty(0, np.int32)
        self._count = 0
        self._length_sum = 0

    def _drop(self, deleted: Numbers) -> None:
        """Drop passages, except those both added and deleted since the last update, which were never loaded."""
        deleted = deleted[np.isin(deleted >> _BLOCK_BITS, self._blocks)]
        rows = np.searchsorted(self._blocks, deleted >> _BLOCK_BITS) << _BLOCK_BITS | deleted % _BLOCK_SIZE
        rows = rows[self._lengths[rows] != _ABSENT]
        self._count -= len(rows)
        self._length_sum -= int(self._lengths[rows].sum())
        self._lengths[rows] = _ABSENT
        touched = np.unique(rows >> _BLOCK_BITS)
        by_block = self._lengths.reshape(-1, _BLOCK_SIZE)
        empty = touched[(by_block[touched] == _ABSENT).all(axis=1)]
        if len(empty):
            self._blocks = np.delete(self._blocks, empty)
            self._lengths = np.delete(by_block, empty, axis=0).reshape(-1)

    def _read_new_blocks(self) -> None:
        """Read the last known block and those after it; passages are only added there."""
        query = "SELECT block, lengths FROM bm25_blocks WHERE block >= ? ORDER BY block"
        found = self._connection.execute(query, (self._last_block,)).fetchall()
        if not found:
            return
        added = _decoded([blob for _, blob in found], "<i4", _BLOCK_SIZE * len(found))
        kept = int(np.searchsorted(self._blocks, self._last_block))
        for lengths, sign in ((self._lengths[kept << _BLOCK_BITS :], -1), (added, 1)):
            present = lengths[lengths != _ABSENT]
            self._count += sign * len(present)
            self._length_sum += sign * int(present.sum())
        self._blocks = np.append(self._blocks[:kept], [block for block, _ in found])
        self._lengths = np.append(self._lengths[: kept << _BLOCK_BITS], added)
        self._last_block = found[-1][0]

    def _numbers(self, rows: Numbers) -> Numbers:
        numbers: Numbers = self._blocks[rows >> _BLOCK_BITS] << _BLOCK_BITS | rows % _BLOCK_SIZE
        return numbers

    def _terms(self, word: str) -> tuple[Numbers, Array]:
        """The rows of the passages with a word, and its term of each one's score (Kamphuis et al. 2020: Lucene)."""
        row, count = self._entries(word)
        weight = np.float32(math.log(1 + (self._count - len(row) + 0.5) / (len(row) + 0.5)))
        average = self._length_sum / self._count if self._length_sum else 1.0
        norms = K1 * ((1 - B) + B * self._lengths[row] / average)
        return row, (weight * (count / (norms + count))).astype(np.float32)

    def _entries(self, word: str) -> tuple[Numbers, NDArray[np.integer[Any]]]:
        """The rows of the passages with a word, ascending, and how often it stands in each."""
        found = self._connection.execute(_ENTRIES_OF_WORD, (word,)).fetchall()
        first_rows: Numbers = np.searchsorted(self._blocks, [block for block, _ in found]) << _BLOCK_BITS
        entries = _decoded([blob for _, blob in found], "<u4")
        row: Numbers = np.repeat(first_rows, [len(blob) // 4 for _, blob in found]) + entries % _BLOCK_SIZE
        present = self._lengths[row] != _ABSENT
        if not present.all():
            row, entries = row[present], entries[present]
        return row, entries >> _BLOCK_BITS


def _decoded(blobs: Sequence[Any], dtype: str, count: int | None = None) -> NDArray[Any]:
    """Return the 4-byte numbers of all blobs as one array; raises sqlite3.DatabaseError for damaged ones."""
    sizes = [len(blob) if isinstance(blob, bytes) else 1 for blob in blobs]
    if any(size % 4 for size in sizes) or (count is not None and sum(sizes) != 4 * count):
        raise sqlite3.DatabaseError(f"{sum(sizes)} bytes stand where numbers of words belong")
    return np.frombuffer(b"".join(blobs), dtype)
