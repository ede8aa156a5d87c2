"""A dense ranking and a BM25 ranking of many queries -> one fused ranking."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dpr_tiny_retriever.retrieval.fusion import LIST_LENGTH, RankedList, blend, reciprocal_rank_fusion
from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits
from dpr_tiny_retriever.retrieval.retrievers import Ranking, Stopwatch

_RRF_CONSTANT = 60


def fuse_by_rank(dense: Ranking, sparse: Ranking) -> Ranking:
    """Reciprocal-rank fusion of the two lists of each query, to the depth of both."""
    depth = dense.hits.rows.shape[1]

    def fuse(dense_list: RankedList, sparse_list: RankedList) -> RankedList:
        return reciprocal_rank_fusion([dense_list, sparse_list], depth, constant=_RRF_CONSTANT)

    return _fuse(dense.hits, sparse.hits, depth, fuse, f"reciprocal-rank fusion, constant {_RRF_CONSTANT}")


def blend_as_index(dense: Ranking, sparse: Ranking, top_k: int) -> Ranking:
    """What PassageIndex.search finds for each query, at most top_k: the same lists of candidates, the same blend.

    The hits of both rankings are rows of the corpus, duplicates included.
    """
    depth = max(LIST_LENGTH, top_k)

    def fuse(dense_list: RankedList, sparse_list: RankedList) -> RankedList:
        return blend(dense_list, sparse_list, top_k, depth=depth, cosine=dense.cosine)

    candidates = _first(dense.hits if dense.indexed is None else dense.indexed, depth)
    note = f"blended as by PassageIndex, of the {depth} best by vector and by BM25"
    return _fuse(candidates, _first(sparse.hits, depth), top_k, fuse, note)


def _fuse(
    dense: Hits, sparse: Hits, k: int, fuse: Callable[[RankedList, RankedList], RankedList], note: str
) -> Ranking:
    stopwatch = Stopwatch()
    queries = len(dense.rows)
    rows, scores = np.full((queries, k), -1, np.int32), np.full((queries, k), -np.inf, np.float32)
    for query in range(queries):
        fused = fuse(_ranked_list(dense, query), _ranked_list(sparse, query))
        rows[query, : len(fused.ids)], scores[query, : len(fused.ids)] = fused
    stopwatch.lap("fusion")
    return Ranking(Hits(rows, scores), stopwatch.seconds, [note])


def _first(hits: Hits, k: int) -> Hits:
    return Hits(hits.rows[:, :k], hits.scores[:, :k])


def _ranked_list(hits: Hits, query: int) -> RankedList:
    count = int(np.count_nonzero(hits.rows[query] >= 0))
    return RankedList(hits.rows[query, :count], hits.scores[query, :count])
