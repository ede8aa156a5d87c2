"""The vectors of an index file, in memory while it is searched, and the nearest of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.retrieval.fusion import RankedList
from dpr_tiny_retriever.retrieval.index_file import IndexFile
from dpr_tiny_retriever.retrieval.nearest_neighbours import best_rows
from dpr_tiny_retriever.types import Vectors

#: Floats of the vectors that are multiplied at once. BLAS shares larger products among threads, which takes twice as
#: long where other processes are busy.
_PRODUCT_SIZE = 1 << 18
#: BLAS rounds the rows that are left over at the end of a matrix differently. With a multiple of this many rows, filled
#: up with zeros, none are left over, and equal vectors have equal scores.
_ROWS = 64
#: The change counter of a reader before its first load. Stored counters are never negative.
_NEVER = -1
#: How far the square of a length of 1 may be off; rounding takes less than a millionth.
_TOLERANCE = 0.01


class IndexVectors:
    """Vectors of dim floats. All methods are to be called within a transaction of the file."""

    def __init__(self, file: IndexFile, dim: int, *, by_cosine: bool, of_unit_length: bool) -> None:
        """by_cosine: compare vectors of any length by the cosine, not by the dot product.

        of_unit_length: whether the model makes vectors of unit length, so that others are damage.
        """
        self._file = file
        self._by_cosine = by_cosine
        self._of_unit_length = of_unit_length
        self._shape = (_ROWS * max(1, _PRODUCT_SIZE // (_ROWS * dim)), dim)  # of a chunk
        self._read_at = _NEVER  # the file's number of changes when what follows was read
        self._deletions_read = 0
        self._clear()

    def nearest(self, query: Vectors, k: int, *, among: NDArray[np.int64] | None) -> RankedList:
        """The numbers of the k passages nearest to a query [dim], of those among these numbers; None is all."""
        self._read()
        if self._by_cosine:
            query = _unit_length(query[None])[0]
        scores = np.empty((len(self._chunks), self._shape[0]), np.float32)
        for chunk, some_scores in zip(self._chunks, scores, strict=True):
            np.dot(chunk, query, out=some_scores)
        numbers, best_of = self._numbers, scores.reshape(-1)[: len(self._numbers)]
        if among is not None:
            chosen = self._is_present & np.isin(numbers, among, assume_unique=True)
        else:
            chosen = self._is_present
        if not chosen.all():
            best_of, numbers = best_of[chosen], numbers[chosen]
        best = best_rows(best_of[None], min(k, len(best_of)))
        return RankedList(numbers[best.rows[0]], best.scores[0])

    def _read(self) -> None:
        """Update the vectors in memory from the file, which any process may have changed.

        Reads the vectors of new passages, and masks those of deleted ones. Reloads all vectors when more than half are
        masked, or when the log of deletions does not reach back to the last update.
        """
        changes = self._file.changes()
        if changes == self._read_at:
            return
        deletions = self._file.deletions
        deleted = None if self._read_at == _NEVER else deletions.since(self._deletions_read)
        self._read_at = _NEVER  # in case the following fails
        if deleted is not None:
            self._is_present &= ~np.isin(self._numbers, deleted)
        if deleted is None or 2 * np.count_nonzero(self._is_present) < len(self._numbers):
            self._clear()
        self._read_new()
        self._deletions_read = deletions.last_step()
        self._read_at = changes

    def _clear(self) -> None:
        self._chunks: list[Vectors] = []  # each [rows, dim]; the last one is filled up with zeros
        self._numbers: NDArray[np.int64] = np.empty(0, np.int64)
        self._is_present: NDArray[np.bool_] = np.empty(0, np.bool_)

    def _read_new(self) -> None:
        """Append the vectors of new passages, whose numbers are higher than all known ones."""
        last = int(self._numbers[-1]) if len(self._numbers) else 0
        filled, added = len(self._numbers), [self._numbers]
        for numbers, vectors in self._file.vectors_after(last):
            self._refuse_damaged(vectors)
            added.append(numbers)
            rows = _unit_length(vectors) if self._by_cosine else vectors
            while len(rows):
                start = filled % self._shape[0]
                if start == 0:
                    self._chunks.append(np.zeros(self._shape, np.float32))
                some = rows[: self._shape[0] - start]
                self._chunks[-1][start : start + len(some)] = some
                rows, filled = rows[len(some) :], filled + len(some)
        self._numbers = np.concatenate(added)
        self._is_present = np.append(self._is_present, np.ones(filled - len(self._is_present), np.bool_))

    def _refuse_damaged(self, vectors: Vectors) -> None:
        """Raise UnusableIndexError for vectors of an impossible length: SQLite does not detect such damage."""
        with np.errstate(all="ignore"):
            squares = np.einsum("ij,ij->i", vectors, vectors)
            are_sound = np.abs(squares - 1) < _TOLERANCE if self._of_unit_length else np.isfinite(squares)
        if not are_sound.all():
            self._file.refuse_damaged("some vectors have a length that the model gives to none")


def _unit_length(vectors: Vectors) -> Vectors:
    """Rows divided by their lengths, where these are not 0."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = np.array(vectors, np.float32)
    scaled /= np.where(norms > 0, norms, 1)
    return scaled
