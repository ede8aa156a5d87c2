"""BM25 between the queries and passages of a batch, over word pieces, with the statistics of the training data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.training.token_store import Rows, TextStore

_K1, _B = 0.9, 0.4
#: Word pieces in a larger share of the passages are no evidence: articles, commas, the special tokens.
_COMMON = 0.2


class Lexical:
    """Scores by Okapi BM25 in Lucene's form (k1 0.9, b 0.4); the word pieces of a query count once."""

    def __init__(self, queries: TextStore, passages: TextStore) -> None:
        self._queries = queries
        self._passages = passages
        frequency: dict[int, int] = {}
        length = 0
        for row in range(len(passages)):
            pieces = np.unique(passages.tokens(row)).tolist()
            length += len(passages.tokens(row))
            for piece in pieces:
                frequency[piece] = frequency.get(piece, 0) + 1
        count = len(passages)
        self._mean_length = length / max(count, 1)
        self._weights = np.zeros(max(frequency, default=0) + 1, np.float32)
        for piece, found in frequency.items():
            if found <= max(_COMMON * count, 1):
                self._weights[piece] = np.log1p((count - found + 0.5) / (found + 0.5))

    def scores(self, query_rows: Rows, passage_rows: Rows) -> NDArray[np.float32]:
        """BM25 of each passage [c] for each query [b], float32 [b, c]."""
        asked, askers, _ = self._evidence(self._queries, query_rows)
        held, holders, lengths = self._evidence(self._passages, passage_rows)
        pieces = np.unique(asked)
        column = np.full(len(self._weights), -1)
        column[pieces] = np.arange(len(pieces))
        wanted = np.zeros((len(query_rows), len(pieces)), np.float32)  # [b, u]
        wanted[askers, column[asked]] = self._weights[asked]
        shared = column[held] >= 0
        cells = holders[shared] * len(pieces) + column[held[shared]]
        counts = np.bincount(cells, minlength=len(passage_rows) * len(pieces)).astype(np.float32)
        counts = counts.reshape(len(passage_rows), len(pieces))  # [c, u]
        saturation = (_K1 * (1 - _B + _B * lengths / self._mean_length)).astype(np.float32)[:, None]
        scores: NDArray[np.float32] = wanted @ (counts * (1 + _K1) / (counts + saturation)).T
        return scores

    def _evidence(self, texts: TextStore, rows: Rows) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The word pieces with a weight in the texts of these rows, each one's place in rows; the texts' lengths."""
        ids, lengths = texts.joined(rows)
        places = np.repeat(np.arange(len(rows)), lengths)
        kept = ids < len(self._weights)
        kept[kept] = self._weights[ids[kept]] > 0
        return ids[kept], places[kept], lengths
