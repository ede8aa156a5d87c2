"""BM25 between the queries and passages of one batch, over word pieces, with the statistics of the training data.

The package's BM25 ranks a whole corpus by words. This one scores a matrix of b x c pairs at every step of a training
run, from token ids that are there already; it is a signal for the student, not a search.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.training.token_store import Rows, TokenStore

_K1, _B = 0.9, 0.4
#: Word pieces in a larger share of the passages are no evidence: articles, commas, the special tokens.
_COMMON = 0.2


class InBatchBM25:
    """Scores by Okapi BM25 in Lucene's form (k1 0.9, b 0.4); the word pieces of a query count once."""

    def __init__(self, queries: TokenStore, passages: TokenStore) -> None:
        self._queries = queries
        self._passages = passages
        count = len(passages)
        frequency: dict[int, int] = {}
        for row in range(count):
            for piece in np.unique(passages.tokens(row)).tolist():
                frequency[piece] = frequency.get(piece, 0) + 1
        self._mean_length = int(passages.lengths().sum()) / max(count, 1)
        self._weights = np.zeros(max(frequency, default=0) + 1, np.float32)
        for piece, passages_with_it in frequency.items():
            if passages_with_it <= max(_COMMON * count, 1):
                self._weights[piece] = np.log1p((count - passages_with_it + 0.5) / (passages_with_it + 0.5))

    def scores(self, query_rows: Rows, passage_rows: Rows) -> NDArray[np.float32]:
        """BM25 of each passage [c] for each query [b], float32 [b, c]."""
        query_ids, query_places, _ = self._evidence(self._queries, query_rows)
        passage_ids, passage_places, lengths = self._evidence(self._passages, passage_rows)
        pieces = np.unique(query_ids)
        column = np.full(len(self._weights), -1)
        column[pieces] = np.arange(len(pieces))
        query_weights = np.zeros((len(query_rows), len(pieces)), np.float32)  # [b, u]
        query_weights[query_places, column[query_ids]] = self._weights[query_ids]
        shared = column[passage_ids] >= 0
        cells = passage_places[shared] * len(pieces) + column[passage_ids[shared]]
        counts = np.bincount(cells, minlength=len(passage_rows) * len(pieces)).astype(np.float32)
        counts = counts.reshape(len(passage_rows), len(pieces))  # [c, u]
        saturation = (_K1 * (1 - _B + _B * lengths / self._mean_length)).astype(np.float32)[:, None]
        scores: NDArray[np.float32] = query_weights @ (counts * (1 + _K1) / (counts + saturation)).T
        return scores

    def _evidence(
        self, texts: TokenStore, rows: Rows
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The word pieces with a weight in the texts of these rows, each one's place in rows; the texts' lengths."""
        parts = [texts.tokens(row) for row in rows.tolist()]
        ids, lengths = np.concatenate(parts), np.array([len(part) for part in parts])
        places = np.repeat(np.arange(len(rows)), lengths)
        kept = ids < len(self._weights)
        kept[kept] = self._weights[ids[kept]] > 0
        return ids[kept], places[kept], lengths
