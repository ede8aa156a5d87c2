"""The nearest passages of each query: exactly, in blocks of bounded memory, or by an approximate index.

Higher scores are better: the dot product, the cosine, or the negative squared L2 distance. Passages with equal scores
are ranked by their row, lower first. This order is part of the published protocols: their corpora hold duplicates, and
which of two equal passages comes first decides whether a query counts as a hit. Neither numpy's partition nor a faiss
index guarantees it, hence the exact top-k here (TopK).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.passage_store import UniquePassages, blocks
from dpr_tiny_retriever.threads import WorkerPool, one_blas_thread, usable_processors
from dpr_tiny_retriever.types import Metric, Vectors

QUERY_BLOCK = 256  # queries
PASSAGE_BLOCK = 16384  # passages
_MAX_WORKERS = 16  # each holds a block of scores (16 MB) and temporaries of the same size
_LOWEST_SCORE = np.finfo(np.float32).min
_SIGN_BIT = np.uint32(1 << 31)
_LOW_32_BITS = np.uint64((1 << 32) - 1)
_SCORE_SHIFT = np.uint64(32)  # bits of a key below the score


@dataclass(frozen=True)
class Hits:
    """The k best passages of q queries, best first."""

    rows: NDArray[np.int32]
    """int32 [q, k]: rows of the corpus; -1 where fewer than k were found."""
    scores: Vectors
    """float32 [q, k]: -inf where fewer than k were found."""

    @classmethod
    def concatenate(cls, parts: Sequence[Hits]) -> Hits:
        """Join the hits of consecutive queries."""
        return cls(np.concatenate([hits.rows for hits in parts]), np.concatenate([hits.scores for hits in parts]))


class TopK:
    """The k best rows of each of q queries, collected from blocks of scores.

    A score and its row form one 64-bit key, so no two keys are equal: equal scores are always ordered by row, also at
    rank k. Memory: q x k keys and one block.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.k = k
        self._keys = np.zeros((queries, 0), np.uint64)
        self._threshold = np.full(queries, _LOWEST_SCORE, np.float32)

    def add(self, scores: Vectors, first_row: int) -> None:
        """Add scores [q, b] of the rows first_row, first_row + 1, ...; -inf marks a row that is no hit."""
        for part in blocks(scores.shape[1], PASSAGE_BLOCK):
            self._add(scores[:, part], first_row + part.start)

    def _add(self, scores: Vectors, first_row: int) -> None:
        queries, width = scores.shape
        if not self._keys.shape[1] and width > self.k:
            self._threshold = np.maximum(np.partition(scores, width - self.k, axis=1)[:, width - self.k], _LOWEST_SCORE)
        query, column = np.nonzero(scores >= self._threshold[:, None])
        counts = np.bincount(query, minlength=queries)
        new_keys = np.zeros((queries, int(counts.max(initial=0))), np.uint64)
        column_of_key = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        new_keys[query, column_of_key] = _to_keys(scores[query, column], column + first_row)
        self._keys = np.concatenate([self._keys, new_keys], axis=1)
        surplus = self._keys.shape[1] - self.k
        if surplus > 0:
            self._keys = np.partition(self._keys, surplus, axis=1)[:, surplus:]
            worst = self._keys.min(axis=1)
            self._threshold = np.where(worst == 0, _LOWEST_SCORE, _from_keys(worst)[1])

    def hits(self) -> Hits:
        """Return the best of all rows added so far, best first."""
        keys = np.sort(self._keys, axis=1)[:, ::-1]
        keys = np.pad(keys, ((0, 0), (0, self.k - keys.shape[1])))
        rows, scores = _from_keys(keys)
        return Hits(
            np.where(keys == 0, -1, rows).astype(np.int32),
            np.where(keys == 0, -np.inf, scores).astype(np.float32),
        )


def best_rows(scores: Vectors, k: int) -> Hits:
    """Return the k best rows of scores [q, n]; -inf marks a row that is no hit. For few queries faster than TopK."""
    hits = Hits(np.full((len(scores), k), -1, np.int32), np.full((len(scores), k), -np.inf, np.float32))
    for query, row_scores in enumerate(scores):
        lowest = np.partition(row_scores, -k)[-k] if k < len(row_scores) else -np.inf
        rows = np.flatnonzero((row_scores >= lowest) & (row_scores > -np.inf))
        rows = rows[np.argsort(-row_scores[rows], kind="stable")][:k]
        hits.rows[query, : len(rows)], hits.scores[query, : len(rows)] = rows, row_scores[rows]
    return hits


def scores_are_cosines(metric: Metric, *, normalize: bool) -> bool:
    """Whether scores by this metric lie between -1 and 1; normalize: whether the vectors have unit length."""
    return metric == "cosine" or (metric == "dot" and normalize)


def exact_search(queries: Vectors, passages: Vectors, k: int, *, metric: Metric = "dot") -> Hits:
    """Return the k nearest of passages [n, dim] to each of queries [q, dim], all float32.

    Memory beside the result is about 64 MB a thread, whatever q and n are. Raises ValueError for no queries, shapes
    that do not fit, a k outside 1 to n, and values that are NaN or infinite.
    """
    _check(queries, passages, k, metric)
    scale, offset = _metric_terms(passages, metric)
    compared = _unit(queries) if metric == "cosine" else queries

    def search_block(start: int) -> Hits:
        block = compared[start : start + QUERY_BLOCK]
        best = TopK(len(block), k)
        for first in range(0, len(passages), PASSAGE_BLOCK):
            scores = block @ passages[first : first + PASSAGE_BLOCK].T
            if scale is not None:
                scores *= scale[first : first + PASSAGE_BLOCK]
            if offset is not None:
                scores -= offset[first : first + PASSAGE_BLOCK]
            best.add(scores, first)
        return best.hits()

    hits = Hits.concatenate(_map_on_threads(search_block, range(0, len(queries), QUERY_BLOCK)))
    if metric != "l2":
        return hits
    return Hits(hits.rows, 2 * hits.scores - np.einsum("qd,qd->q", queries, queries)[:, None])


def approximate_search(
    queries: Vectors,
    passages: Vectors,
    k: int,
    *,
    metric: Metric = "dot",
    index: Literal["hnsw", "ivf"] = "hnsw",
) -> Hits:
    """Search like exact_search, by a faiss index with its usual settings; recall_vs_exact measures what it misses.

    Needs the extra `eval`.
    """
    import faiss

    _check(queries, passages, k, metric)
    dim = passages.shape[1]
    faiss_metric = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if metric == "cosine":
        queries, passages = _unit(queries), _unit(passages)
    faiss_index: Any
    if index == "hnsw":
        faiss_index = faiss.IndexHNSWFlat(dim, 32, faiss_metric)
        faiss_index.hnsw.efConstruction = 200
        faiss_index.hnsw.efSearch = max(k, 128)
    elif index == "ivf":
        # faiss recommends 4 * sqrt(n) lists and at least 39 training vectors a list; 1 list in 16 is searched.
        lists = max(1, min(len(passages) // 39, int(4 * len(passages) ** 0.5)))
        faiss_index = faiss.IndexIVFFlat(faiss.IndexFlat(dim, faiss_metric), dim, lists, faiss_metric)
        faiss_index.nprobe = max(1, lists // 16)
        faiss_index.train(passages)
    else:
        raise ValueError(f"index is {index!r}; expected 'hnsw' or 'ivf'")
    faiss_index.add(passages)
    scores, rows = faiss_index.search(queries, k)
    scores = np.where(rows < 0, -np.inf, -scores if metric == "l2" else scores)
    return Hits(rows.astype(np.int32), scores.astype(np.float32))


def recall_vs_exact(approximate: Hits, exact: Hits, k: int) -> float:
    """Return the share of the exact k nearest that an approximate search found, averaged over queries."""
    pairs = zip(approximate.rows[:, :k], exact.rows[:, :k], strict=True)
    return float(np.mean([len(np.intersect1d(found, wanted)) / len(wanted) for found, wanted in pairs]))


def expand_duplicates(hits: Hits, unique: UniquePassages) -> Hits:
    """Turn hits among the unique passages into hits among all rows; duplicates are ordered by row."""
    if len(unique.first) == len(unique.of_row):
        return hits
    copies = np.bincount(unique.of_row)  # [u]: rows of each unique passage
    rows_by_passage = np.argsort(unique.of_row, kind="stable")  # [n]: the rows of each passage are consecutive
    starts = np.cumsum(copies) - copies
    rows, scores = np.full_like(hits.rows, -1), np.full_like(hits.scores, -np.inf)
    for query, query_rows in enumerate(hits.rows):
        found = query_rows[query_rows >= 0]
        counts = copies[found]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        row = rows_by_passage[np.repeat(starts[found], counts) + within]
        score = np.repeat(hits.scores[query, : len(found)], counts)
        order = np.lexsort((row, -score))[: hits.rows.shape[1]]
        rows[query, : len(order)], scores[query, : len(order)] = row[order], score[order]
    return Hits(rows, scores)


def _map_on_threads(function: Callable[[int], Hits], starts: Iterable[int]) -> list[Hits]:
    """Run a function on as many threads as may be used, each with BLAS on one thread.

    That is faster than BLAS on all threads, followed by a selection on one.
    """
    with one_blas_thread(), WorkerPool(min(usable_processors(), _MAX_WORKERS)) as pool:
        hits = [pool.submit(partial(function, start)) for start in starts]
        return [future.result() for future in hits]


def _to_keys(scores: Vectors, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return keys that sort by score, then lower row first; 0 is below every key."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 turns -0.0 into 0.0
    ordered = np.where(bits & _SIGN_BIT, ~bits, bits | _SIGN_BIT)
    keys: NDArray[np.uint64] = (ordered.astype(np.uint64) << _SCORE_SHIFT) | (_LOW_32_BITS - rows.astype(np.uint64))
    return keys


def _from_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], Vectors]:
    ordered = (keys >> _SCORE_SHIFT).astype(np.uint32)
    bits = np.where(ordered & _SIGN_BIT, ordered ^ _SIGN_BIT, ~ordered)
    return (_LOW_32_BITS - (keys & _LOW_32_BITS)).astype(np.int64), bits.astype(np.uint32).view(np.float32)


def _metric_terms(passages: Vectors, metric: Metric) -> tuple[Vectors | None, Vectors | None]:
    """Return what to multiply each passage's dot product by and what to subtract to rank as the metric does."""
    if metric == "dot":
        return None, None
    squares = np.concatenate([np.einsum("nd,nd->n", block, block) for block in _slices(passages)])
    if metric == "l2":
        return None, (squares / 2).astype(np.float32)
    inverse = 1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    return np.where(squares > 0, inverse, 0).astype(np.float32), None  # a zero vector has cosine 0


def _slices(vectors: Vectors) -> Iterator[Vectors]:
    return (vectors[part] for part in blocks(len(vectors), PASSAGE_BLOCK))


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _check(queries: Vectors, passages: Vectors, k: int, metric: str) -> None:
    if metric not in get_args(Metric):
        raise ValueError(f"metric is {metric!r}; expected {', '.join(get_args(Metric))}")
    if queries.ndim != 2 or passages.ndim != 2 or queries.shape[1] != passages.shape[1]:
        raise ValueError(f"queries are {queries.shape}, passages {passages.shape}; expected [q, dim] and [n, dim]")
    if not 1 <= k <= len(passages):
        raise ValueError(f"k is {k} with {len(passages)} passages; expected 1 to {len(passages)}")
    if not len(queries):
        raise ValueError("there are no queries; expected at least one")
    for name, vectors in (("queries", queries), ("passages", passages)):
        for number, block in enumerate(_slices(vectors)):
            if not np.isfinite(block).all():
                row = number * PASSAGE_BLOCK + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise ValueError(f"row {row} of the {name} holds NaN or an infinity; expected finite values")
