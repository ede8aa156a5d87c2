"""The vectors of an index file, in memory while it is searched, and the nearest of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.passage_store import blocks
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
        self._rows_at_once = _ROWS * max(1, _PRODUCT_SIZE // (_ROWS * dim))
        self._read_at = -1  # the file's number of changes when the vectors below were read
        self._numbers: NDArray[np.int64] = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, dim), np.float32)

    def nearest(self, query: Vectors, k: int, *, among: NDArray[np.int64] | None) -> RankedList:
        """The numbers of the k passages nearest to a query [dim], of those among these numbers; None is all."""
        self._read()
        if self._by_cosine:
            query = _unit_length(query[None])[0]
        numbers, scores = self._numbers, np.empty(len(self._vectors), np.float32)
        for rows in blocks(len(scores), self._rows_at_once):
            np.dot(self._vectors[rows], query, out=scores[rows])
        scores = scores[: len(numbers)]
        if among is not None:
            chosen = np.isin(numbers, among, assume_unique=True)
            scores, numbers = scores[chosen], numbers[chosen]
        best = best_rows(scores[None], min(k, len(scores)))
        return RankedList(numbers[best.rows[0]], best.scores[0])

    def _read(self) -> None:
        """Read the vectors when they are first needed, and again when any process has changed the file."""
        changes = self._file.changes()
        if changes != self._read_at:
            numbers, vectors = self._file.vectors(multiple_of=self._rows_at_once)
            self._refuse_damaged(vectors[: len(numbers)])
            self._numbers = numbers
            self._vectors, self._read_at = _unit_length(vectors) if self._by_cosine else vectors, changes

    def _refuse_damaged(self, vectors: Vectors) -> None:
        """Raise UnusableIndexError for vectors that no model has made, which SQLite does not notice."""
        with np.errstate(all="ignore"):
            squares = np.einsum("ij,ij->i", vectors, vectors)
            are_sound = np.abs(squares - 1) < _TOLERANCE if self._of_unit_length else np.isfinite(squares)
        if not are_sound.all():
            self._file.refuse_damaged("some vectors have a length that the model gives to none")


def _unit_length(vectors: Vectors) -> Vectors:
    """Scale rows in place, since there may be many."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms > 0, norms, 1)
    return vectors
