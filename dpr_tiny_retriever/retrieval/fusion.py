"""Two rankings -> one: by their ranks, or by their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits
from dpr_tiny_retriever.retrieval.retrievers import Clock, Ranking

_RIVAL = 5  # the rank that the best is compared with
#: In a blend a cosine of the first number counts as 1, and one lower by the second as e times less.
_SURE, _STEP = 0.83, 0.1


def fuse(rankings: Sequence[Ranking], k: int, *, constant: int = 60) -> Ranking:
    """Reciprocal-rank fusion (Cormack et al. 2009): a passage's score is the sum of 1 / (constant + rank)."""
    gains = [lambda scores, _: 1 / (constant + np.arange(1, len(scores) + 1))] * len(rankings)
    return _combine(rankings, gains, k, f"reciprocal-rank fusion, constant {constant}")


def blend(dense: Ranking, sparse: Ranking, k: int, *, dense_weight: float = 0.4) -> Ranking:
    """Weighted sum of scores, each counted by how sure its system is.

    A cosine c counts as exp((c - 0.83) / 0.1): a pair that has found what it looked for outweighs the words, one that
    has not leaves the choice to them. Dense scores without bounds say no such thing, and are scaled from the least to
    the best that was found. BM25's are scaled by their best (Bruch et al. 2023, with 0 as the least) and count by its
    margin, the best above the fifth in that scale: where many passages hold the words of a question, its words do not
    tell them apart. A passage that only one of two full lists holds is taken to be as good as the last of the other.
    """
    if not 0 <= dense_weight <= 1:
        raise ValueError(f"dense_weight is {dense_weight}; expected 0 (BM25 alone) to 1 (the dense system alone)")
    gains = [
        partial(_near if dense.cosine else _spread, weight=dense_weight),
        partial(_by_margin, weight=1 - dense_weight),
    ]
    how = "by how near the cosine is to 1" if dense.cosine else "scaled"
    note = f"scores added, dense ones {how} with weight {dense_weight:g}, BM25's scaled and by its margin"
    return _combine([dense, sparse], gains, k, note)


# Gains: what the scores of one system, best first, give each passage. One that was not found has none; where the list
# is full, it is taken to be as good as the last.


def _near(scores: NDArray[np.float64], full: bool, *, weight: float) -> NDArray[np.float64]:
    gains: NDArray[np.float64] = weight * np.exp((scores - _SURE) / _STEP)
    return gains - gains[-1] if full else gains


def _spread(scores: NDArray[np.float64], full: bool, *, weight: float) -> NDArray[np.float64]:
    if not len(scores):
        return scores
    gains: NDArray[np.float64] = weight * (scores - scores[-1]) / (scores[0] - scores[-1] or 1.0)
    return gains


def _by_margin(scores: NDArray[np.float64], full: bool, *, weight: float) -> NDArray[np.float64]:
    if not len(scores):
        return scores
    gains: NDArray[np.float64] = weight * scores / scores[0]
    if len(scores) >= _RIVAL:
        gains *= 1 - scores[_RIVAL - 1] / scores[0]
    return gains - gains[-1] if full else gains


def _combine(
    rankings: Sequence[Ranking],
    gains: Sequence[Callable[[NDArray[np.float64], bool], NDArray[np.float64]]],
    k: int,
    note: str,
) -> Ranking:
    """Rank by the sum of what each ranking gives a passage; a gain is told scores, and whether their list is full."""
    clock = Clock()
    count = len(rankings[0].hits.rows)
    rows, sums = np.full((count, k), -1, np.int32), np.full((count, k), -np.inf, np.float32)
    for query in range(count):
        sizes = [np.count_nonzero(ranking.hits.rows[query] >= 0) for ranking in rankings]
        found = np.concatenate([one.hits.rows[query, :size] for one, size in zip(rankings, sizes, strict=True)])
        added = [
            gain(one.hits.scores[query, :size].astype(np.float64), size == one.hits.rows.shape[1])
            for gain, one, size in zip(gains, rankings, sizes, strict=True)
        ]
        passages, which = np.unique(found, return_inverse=True)
        total = np.bincount(which.reshape(-1), weights=np.concatenate(added), minlength=len(passages))
        order = np.lexsort((passages, -total))[:k]
        rows[query, : len(order)], sums[query, : len(order)] = passages[order], total[order]
    clock.lap("fusion")
    return Ranking(Hits(rows, sums), clock.laps, [note])
