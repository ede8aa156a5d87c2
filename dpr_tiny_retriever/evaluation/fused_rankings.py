"""A dense ranking and a BM25 ranking of many queries -> one fused ranking."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dpr_tiny_retriever.retrieval.fusion import DENSE_WEIGHT, RankedList, blend, reciprocal_rank_fusion
from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits
from dpr_tiny_retriever.retrieval.retrievers import Ranking, Stopwatch

_RRF_CONSTANT = 60


def fuse_by_rank(dense: Ranking, sparse: Ranking) -> Ranking:
    """Reciprocal-rank fusion of the two lists of each query, to the depth of both."""
    depth = _depth(dense)

    def fuse(dense_list: RankedList, sparse_list: RankedList) -> RankedList:
        return reciprocal_rank_fusion([dense_list, sparse_list], depth, constant=_RRF_CONSTANT)

    return _fuse(dense, sparse, fuse, f"reciprocal-rank fusion, constant {_RRF_CONSTANT}")


def blend_scores(dense: Ranking, sparse: Ranking, dense_weight: float = DENSE_WEIGHT) -> Ranking:
    """Weighted sum of the scores of each query, to the depth of both rankings."""
    depth = _depth(dense)

    def fuse(dense_list: RankedList, sparse_list: RankedList) -> RankedList:
        return blend(dense_list, sparse_list, depth, depth=depth, cosine=dense.cosine, dense_weight=dense_weight)

    scaling = "by how near the cosine is to 1" if dense.cosine else "scaled"
    note = f"scores added, dense ones {scaling} with weight {dense_weight:g}, BM25's scaled and by its margin"
    return _fuse(dense, sparse, fuse, note)


def _fuse(dense: Ranking, sparse: Ranking, fuse: Callable[[RankedList, RankedList], RankedList], note: str) -> Ranking:
    stopwatch = Stopwatch()
    rows, scores = np.full_like(dense.hits.rows, -1), np.full_like(dense.hits.scores, -np.inf)
    for query in range(len(rows)):
        fused = fuse(_ranked_list(dense.hits, query), _ranked_list(sparse.hits, query))
        rows[query, : len(fused.ids)], scores[query, : len(fused.ids)] = fused
    stopwatch.lap("fusion")
    return Ranking(Hits(rows, scores), stopwatch.seconds, [note])


def _ranked_list(hits: Hits, query: int) -> RankedList:
    count = int(np.count_nonzero(hits.rows[query] >= 0))
    return RankedList(hits.rows[query, :count], hits.scores[query, :count])


def _depth(ranking: Ranking) -> int:
    """How many passages the retriever was asked for."""
    return int(ranking.hits.rows.shape[1])
