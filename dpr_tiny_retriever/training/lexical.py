"""BM25 between the queries and passages of a batch, over word pieces, with the statistics of the training data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.training.texts import Rows, TextStore

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
        asked = [np.unique(self._queries.tokens(row)) for row in query_rows.tolist()]
        pieces = np.unique(np.concatenate(asked))
        pieces = pieces[pieces < len(self._weights)]
        pieces = pieces[self._weights[pieces] > 0]
        wanted = np.stack([np.isin(pieces, each) for each in asked]).astype(np.float32)  # [b, u]
        held = np.zeros((len(passage_rows), len(pieces)), np.float32)  # [c, u]
        if not len(pieces):
            return np.zeros((len(asked), len(passage_rows)), np.float32)
        for place, row in enumerate(passage_rows.tolist()):
            ids = self._passages.tokens(row)
            columns = np.minimum(np.searchsorted(pieces, ids), len(pieces) - 1)
            counts = np.bincount(columns[pieces[columns] == ids], minlength=len(pieces))
            saturation = _K1 * (1 - _B + _B * len(ids) / self._mean_length)
            held[place] = counts * (1 + _K1) / (counts + saturation)
        scores: NDArray[np.float32] = (wanted * self._weights[pieces]) @ held.T
        return scores
