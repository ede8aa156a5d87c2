"""Fusion of ranked lists: what several retrievers found for one query -> one ranked list.

Pure functions of ids and scores, for every caller: the index, the adapters and evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# A blend counts a cosine c as exp((c - CONFIDENT_COSINE) / COSINE_SCALE). These two and DENSE_WEIGHT were chosen for
# the bundled pair on SQuAD v1.1 dev and held-out MedQuAD, each with and without 23,221 distractors: they keep the blend
# above BM25 on SQuAD at little cost on MedQuAD. README's figures on these sets are therefore optimistic. The same
# values put all-MiniLM-L6-v2 above either retriever alone at hit@1 on both sets; another model may need others.
CONFIDENT_COSINE = 0.83
COSINE_SCALE = 0.1
DENSE_WEIGHT = 0.4

#: In a blend, BM25's best score is compared with the one at this rank (from 1).
_MARGIN_RANK = 5


#: How many passages each retriever is asked for, so that there is enough to blend.
LIST_LENGTH = 100


class RankedList(NamedTuple):
    """What one retriever found for one query, best first; a higher score is better."""

    ids: Sequence[str] | Sequence[int] | NDArray[Any]
    """[n]: each id once, in the caller's own numbering or naming."""
    scores: Sequence[float] | NDArray[np.floating[Any]]
    """[n], never rising."""


class Placement(NamedTuple):
    """Where a passage stood in the two lists of a blend: ranks from 1; None where a list lacks the passage."""

    dense_rank: int | None
    dense_score: float | None
    bm25_rank: int | None
    bm25_score: float | None


def explain(ids: Iterable[Any], dense: RankedList, sparse: RankedList) -> list[Placement]:
    """Return where each of the ids stood in the dense and in the BM25 list."""
    in_dense, in_sparse = _places(dense), _places(sparse)
    return [Placement(*in_dense.get(id, (None, None)), *in_sparse.get(id, (None, None))) for id in ids]


def reciprocal_rank_fusion(rankings: Sequence[RankedList], k: int, *, constant: int = 60) -> RankedList:
    """Return the k best by the sum of 1 / (constant + rank), with ranks from 1 (Cormack et al. 2009).

    Equal sums are ordered by id. The result holds arrays. Raises ValueError for a list that is not ranked.
    """
    id_lists = [_checked(ranking)[0] for ranking in rankings]
    return _best([(ids, 1.0 / (constant + np.arange(1, len(ids) + 1))) for ids in id_lists], k)


def blend(
    dense: RankedList,
    sparse: RankedList,
    k: int,
    *,
    depth: int,
    cosine: bool,
    dense_weight: float = DENSE_WEIGHT,
    confident_cosine: float = CONFIDENT_COSINE,
    scale: float = COSINE_SCALE,
) -> RankedList:
    """Return the k best by a weighted sum of dense and BM25 scores, each weighted by its retriever's confidence.

    depth: how many passages each retriever was asked for. A list of that length was cut off: a passage outside it
    counts like its last one. A passage outside a shorter list counts nothing.
    cosine: whether dense scores are cosines. A cosine c contributes exp((c - confident_cosine) / scale), so that a
    confident encoder outweighs BM25 and an unsure one does not. Unbounded dense scores are scaled from 0 (last) to 1
    (best).
    BM25 scores are divided by the best one (Bruch et al. 2023, with 0 as the minimum) and multiplied by their margin,
    1 minus the fifth of these quotients: words that many passages share do not tell passages apart.

    Equal sums are ordered by id. The result holds arrays. Raises ValueError for a list that is not ranked, a negative
    BM25 score, and a weight outside 0 to 1.
    """
    if not 0 <= dense_weight <= 1:
        raise ValueError(f"dense_weight is {dense_weight}; expected 0 (BM25 alone) to 1 (the dense retriever alone)")
    dense_ids, dense_scores = _checked(dense)
    sparse_ids, sparse_scores = _checked(sparse)
    if len(sparse_scores) and sparse_scores[-1] < 0:
        raise ValueError(f"found a BM25 score of {sparse_scores[-1]}; expected a form of BM25 without negative scores")
    dense_gains = np.exp((dense_scores - confident_cosine) / scale) if cosine else _min_max(dense_scores)
    dense_gains = _above_last(dense_weight * dense_gains, is_cut_off=len(dense_ids) >= depth)
    sparse_gains = _above_last((1 - dense_weight) * _by_margin(sparse_scores), is_cut_off=len(sparse_ids) >= depth)
    return _best([(dense_ids, dense_gains), (sparse_ids, sparse_gains)], k)


def _min_max(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to 0 (last) ... 1 (best)."""
    return (scores - scores[-1]) / ((scores[0] - scores[-1]) or 1.0) if len(scores) else scores


def _by_margin(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to 1 (best), and multiply by the margin of the best over the fifth."""
    if not len(scores):
        return scores
    scaled: NDArray[np.float64] = scores / (scores[0] or 1.0)
    return scaled * (1 - scaled[_MARGIN_RANK - 1]) if len(scores) >= _MARGIN_RANK else scaled


def _above_last(gains: NDArray[np.float64], *, is_cut_off: bool) -> NDArray[np.float64]:
    """Count from the last passage of a list that was cut off, so that a passage outside it counts like the last."""
    return gains - gains[-1] if is_cut_off and len(gains) else gains


def _best(gains: Sequence[tuple[NDArray[Any], NDArray[np.float64]]], k: int) -> RankedList:
    """Rank ids by the sum of their gains over all lists; equal sums by id."""
    held = [(ids, values) for ids, values in gains if len(ids)]  # an empty array has no dtype of ids
    if not held:
        return RankedList(np.array([], np.int64), np.array([], np.float64))
    ids, position = np.unique(np.concatenate([ids for ids, _ in held]), return_inverse=True)
    total = np.zeros(len(ids), np.float64)
    np.add.at(total, position.reshape(-1), np.concatenate([values for _, values in held]))
    order = np.lexsort((np.arange(len(ids)), -total))[:k]
    return RankedList(ids[order], total[order])


def _places(ranking: RankedList) -> dict[Any, tuple[int, float]]:
    """The rank from 1 and the score of each id."""
    return {
        id: (rank, float(score)) for rank, (id, score) in enumerate(zip(ranking.ids, ranking.scores, strict=True), 1)
    }


def _checked(ranking: RankedList) -> tuple[NDArray[Any], NDArray[np.float64]]:
    ids, scores = np.asarray(ranking.ids), np.asarray(ranking.scores, np.float64)
    if ids.shape != scores.shape or ids.ndim != 1:
        raise ValueError(f"found ids {ids.shape} and scores {scores.shape}; expected one score for each id")
    if not np.all(scores[1:] <= scores[:-1]):  # also where a score is NaN
        raise ValueError("scores are not in descending order; expected the best first, where higher is better")
    return ids, scores
