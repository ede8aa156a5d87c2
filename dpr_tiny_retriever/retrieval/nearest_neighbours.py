"""The nearest passages of each query: exactly, in blocks of bounded memory, or by an approximate index.

Scores are such that more is better: the dot product, the cosine, or the negative squared L2 distance. Among
equal scores the passage that stands earlier comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dpr_tiny_retriever.data.passage_store import UniquePassages, blocks
from dpr_tiny_retriever.model.runner import processors
from dpr_tiny_retriever.types import Vectors

Metric: TypeAlias = Literal["dot", "l2", "cosine"]
Index: TypeAlias = Literal["exact", "hnsw", "ivf"]

_QUERY_BLOCK = 256
_PASSAGE_BLOCK = 16384
_MAX_WORKERS = 16  # each holds a block of scores, 16 MB, and as much again beside it
_LOWEST = np.finfo(np.float32).min
_SIGN = np.uint32(1 << 31)
_LOW_HALF = np.uint64((1 << 32) - 1)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Hits:
    """The k best passages of q queries, best first."""

    rows: NDArray[np.int32]
    """[q, k]: rows of the corpus; -1 behind the last one found."""
    scores: Vectors
    """[q, k]: -inf behind the last one found."""


class TopK:
    """The k best rows of each of q queries, gathered from blocks of scores.

    A score and its row make one 64-bit key, so that no two keys are equal: the order among equal scores, also
    at the k-th place, is always that of the rows. Memory is q x k, and one block.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self._keys = np.zeros((queries, 0), np.uint64)
        self._threshold = np.full(queries, _LOWEST, np.float32)

    def add(self, scores: Vectors, first_row: int) -> None:
        """Take in scores [q, b] of the rows from first_row on; -inf stands for a row that is not found."""
        for part in blocks(scores.shape[1], _PASSAGE_BLOCK):
            self._add(scores[:, part], first_row + part.start)

    def _add(self, scores: Vectors, first_row: int) -> None:
        queries, width = scores.shape
        if not self._keys.shape[1] and width > self.k:
            self._threshold = np.maximum(np.partition(scores, width - self.k, axis=1)[:, width - self.k], _LOWEST)
        query, column = np.nonzero(scores >= self._threshold[:, None])
        counts = np.bincount(query, minlength=queries)
        fresh = np.zeros((queries, int(counts.max(initial=0))), np.uint64)
        place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        fresh[query, place] = _to_keys(scores[query, column], column + first_row)
        self._keys = np.concatenate([self._keys, fresh], axis=1)
        surplus = self._keys.shape[1] - self.k
        if surplus > 0:
            self._keys = np.partition(self._keys, surplus, axis=1)[:, surplus:]
            worst = self._keys.min(axis=1)
            self._threshold = np.where(worst == 0, _LOWEST, _from_keys(worst)[1])

    def hits(self) -> Hits:
        """What was found, best first."""
        keys = np.sort(self._keys, axis=1)[:, ::-1]
        keys = np.pad(keys, ((0, 0), (0, self.k - keys.shape[1])))
        rows, scores = _from_keys(keys)
        return Hits(
            np.where(keys == 0, -1, rows).astype(np.int32),
            np.where(keys == 0, -np.inf, scores).astype(np.float32),
        )


def exact_search(queries: Vectors, passages: Vectors, k: int, *, metric: Metric = "dot") -> Hits:
    """Compare queries [q, dim] with all passages [n, dim], and keep the k nearest of each query.

    Memory beside the result is some 64 MB a thread, whatever q and n are.
    """
    _check(queries, passages, k, metric)
    scale, offset = _metric_terms(passages, metric)
    asked = _unit(queries) if metric == "cosine" else queries

    def block(start: int) -> Hits:
        best = TopK(len(asked[start : start + _QUERY_BLOCK]), k)
        for first in range(0, len(passages), _PASSAGE_BLOCK):
            scores = asked[start : start + _QUERY_BLOCK] @ passages[first : first + _PASSAGE_BLOCK].T
            if scale is not None:
                scores *= scale[first : first + _PASSAGE_BLOCK]
            if offset is not None:
                scores -= offset[first : first + _PASSAGE_BLOCK]
            best.add(scores, first)
        return best.hits()

    # One product a thread, selection beside it: faster than all threads on one product, then one selecting.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(processors(), _MAX_WORKERS)) as pool:
        found = list(pool.map(block, range(0, len(queries), _QUERY_BLOCK)))
    rows = np.concatenate([hits.rows for hits in found])
    scores = np.concatenate([hits.scores for hits in found])
    if metric == "l2":
        scores = 2 * scores - np.einsum("qd,qd->q", queries, queries)[:, None]
    return Hits(rows, scores)


def approximate_search(
    queries: Vectors,
    passages: Vectors,
    k: int,
    *,
    metric: Metric = "dot",
    index: Literal["hnsw", "ivf"] = "hnsw",
) -> Hits:
    """As exact_search, by a faiss index at its usual settings; recall_vs_exact measures what it misses."""
    import faiss

    _check(queries, passages, k, metric)
    dim = passages.shape[1]
    measure = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if metric == "cosine":
        queries, passages = _unit(queries), _unit(passages)
    structure: Any
    if index == "hnsw":
        structure = faiss.IndexHNSWFlat(dim, 32, measure)
        structure.hnsw.efConstruction = 200
        structure.hnsw.efSearch = max(k, 128)
    elif index == "ivf":
        # faiss advises 4 * sqrt(n) lists and 39 passages a list to train on; a sixteenth of them is searched.
        lists = max(1, min(len(passages) // 39, int(4 * len(passages) ** 0.5)))
        structure = faiss.IndexIVFFlat(faiss.IndexFlat(dim, measure), dim, lists, measure)
        structure.nprobe = max(1, lists // 16)
        structure.train(passages)
    else:
        raise ValueError(f"index is {index!r}; expected 'hnsw' or 'ivf'")
    structure.add(passages)
    scores, rows = structure.search(queries, k)
    scores = np.where(rows < 0, -np.inf, -scores if metric == "l2" else scores)
    return Hits(rows.astype(np.int32), scores.astype(np.float32))


def recall_vs_exact(found: Hits, exact: Hits, k: int) -> float:
    """The share of the exact k nearest that an approximate search has among its own, over all queries."""
    pairs = zip(found.rows[:, :k], exact.rows[:, :k], strict=True)
    shares = [len(np.intersect1d(a, b)) / len(b) for a, b in pairs]
    return float(np.mean(shares))


def expand_duplicates(hits: Hits, distinct: UniquePassages) -> Hits:
    """Turn hits among the distinct passages into hits among all rows; copies come in corpus order."""
    if len(distinct.first) == len(distinct.of_row):
        return hits
    sizes = np.bincount(distinct.of_row)
    copies = np.argsort(distinct.of_row, kind="stable")  # [n]: rows, those of one passage together
    starts = np.cumsum(sizes) - sizes
    rows, scores = np.full_like(hits.rows, -1), np.full_like(hits.scores, -np.inf)
    for query, found in enumerate(hits.rows):
        found = found[found >= 0]
        counts = sizes[found]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        row = copies[np.repeat(starts[found], counts) + within]
        score = np.repeat(hits.scores[query, : len(found)], counts)
        order = np.lexsort((row, -score))[: hits.rows.shape[1]]
        rows[query, : len(order)], scores[query, : len(order)] = row[order], score[order]
    return Hits(rows, scores)


def _to_keys(scores: Vectors, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys that sort as (score, lower row first); 0 is below every key."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes -0.0 and 0.0 one
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    keys: NDArray[np.uint64] = (ordered.astype(np.uint64) << _HALF) | (_LOW_HALF - rows.astype(np.uint64))
    return keys


def _from_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], Vectors]:
    ordered = (keys >> _HALF).astype(np.uint32)
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered)
    return (_LOW_HALF - (keys & _LOW_HALF)).astype(np.int64), bits.astype(np.uint32).view(np.float32)


def _metric_terms(passages: Vectors, metric: Metric) -> tuple[Vectors | None, Vectors | None]:
    """Factor and subtrahend of each passage's dot product that make it order as the metric does."""
    if metric == "dot":
        return None, None
    squares = np.concatenate([np.einsum("nd,nd->n", block, block) for block in _slices(passages)])
    if metric == "l2":
        return None, (squares / 2).astype(np.float32)
    inverse = 1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    return np.where(squares > 0, inverse, 0).astype(np.float32), None  # the zero vector is like nothing


def _slices(vectors: Vectors) -> Iterator[Vectors]:
    return (vectors[part] for part in blocks(len(vectors), _PASSAGE_BLOCK))


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _check(queries: Vectors, passages: Vectors, k: int, metric: str) -> None:
    if metric not in get_args(Metric):
        raise ValueError(f"metric is {metric!r}; expected {', '.join(get_args(Metric))}")
    if queries.ndim != 2 or passages.ndim != 2 or queries.shape[1] != passages.shape[1]:
        raise ValueError(f"queries are {queries.shape}, passages {passages.shape}; expected [q, dim] and [n, dim]")
    if not 1 <= k <= len(passages):
        raise ValueError(f"k is {k} with {len(passages)} passages; expected 1 to as many as there are")
    if not len(queries):
        raise ValueError("there are no queries; expected at least one")
    for name, vectors in (("queries", queries), ("passages", passages)):
        for number, block in enumerate(_slices(vectors)):
            if not np.isfinite(block).all():
                row = number * _PASSAGE_BLOCK + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise ValueError(f"row {row} of the {name} holds a value that is not finite; expected numbers")
