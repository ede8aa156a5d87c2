"""Fusion of ranked lists: what several retrievers found for one query -> one ranked list.

Pure functions of ids and scores, for every caller: the index, the adapters and evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Both scores are nearly logarithms of probabilities: a cosine divided by the temperature that such models are trained
# with, the dot product of a DPR pair as it is, and a BM25 score divided by some constant. Added, they rank by the
# product of the probabilities.
_COSINE_TEMPERATURE = 0.05
_BM25_TEMPERATURE = 1.5

# Where one list is surer of its best than the other, it counts more: dense scores are multiplied by
# exp((best cosine - _USUAL_COSINE) / _COSINE_SCALE) * _USUAL_MARGIN / (margin of BM25's best). These constants were
# chosen with four sets of questions in view (CLAPNQ, WikiQA, SQuAD, MedQuAD), each with and without 23,221 distractors,
# for the bundled pair and for all-MiniLM-L6-v2; questions of five other sets (BoolQ, SelQA, and the training parts of
# SQuAD, MedQuAD and CLAPNQ) hold as well. The optimum is flat: a fifth more or less of one moves no mean by more than
# .3 points.
_USUAL_COSINE = 0.65
_COSINE_SCALE = 0.15
_USUAL_MARGIN = 0.4
#: The margin is that of BM25's best over its fifth, as a share of the best; some is left where they are equal.
_MARGIN_RANK, _LEAST_MARGIN = 5, 0.02
#: However sure a list is, the other still counts.
_LARGEST_WEIGHT = 30.0

#: How many passages each retriever is asked for, so that there is enough to blend.
LIST_LENGTH = 100

#: Where the best cosine of a bundled pair is lower, a passage that answers is unlikely: the largest threshold, to one
#: digit, that finds something for 95 % of the questions that have an answer, as `python benchmarks/threshold.py`
#: measures on those four sets; docs/stores.md has its figures.
NOTHING_NEAR = 0.4


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
) -> RankedList:
    """Return the k best by the weighted sum of dense and BM25 scores.

    The sum is log-linear pooling: each score over its temperature is close to a log-probability. The dense scores
    weigh more where the best cosine is high, and where BM25's best stands out little from its fifth: words that many
    passages share do not tell these apart.

    depth: how many passages each retriever was asked for. A passage outside a list counts like its last one; only
    where BM25 found fewer than depth does a passage outside, which shares no word with the query, count 0.
    cosine: whether dense scores are cosines; otherwise they are taken for a DPR model's dot products, whose softmax
    was trained at the temperature 1, and say nothing of how sure the model is.

    Equal sums are ordered by id. The result holds arrays. Raises ValueError for a list that is not ranked and for a
    negative BM25 score.
    """
    dense_ids, dense_scores = _checked(dense)
    sparse_ids, sparse_scores = _checked(sparse)
    if len(sparse_scores) and sparse_scores[-1] < 0:
        raise ValueError(f"found a BM25 score of {sparse_scores[-1]}; expected a form of BM25 without negative scores")
    weight = _dense_weight(dense_scores, sparse_scores, cosine=cosine) / (_COSINE_TEMPERATURE if cosine else 1.0)
    sparse_gains = sparse_scores / _BM25_TEMPERATURE
    return _best(
        [
            (dense_ids, _above_last(weight * dense_scores, is_cut_off=True)),
            (sparse_ids, _above_last(sparse_gains, is_cut_off=len(sparse_ids) >= depth)),
        ],
        k,
    )


def _dense_weight(dense_scores: NDArray[np.float64], sparse_scores: NDArray[np.float64], *, cosine: bool) -> float:
    """How much the dense scores of this query count beside those of BM25."""
    if not (len(dense_scores) and len(sparse_scores)):
        return 1.0
    compared = sparse_scores[_MARGIN_RANK - 1] if len(sparse_scores) >= _MARGIN_RANK else 0.0
    margin = max(1 - compared / (sparse_scores[0] or 1.0), _LEAST_MARGIN)
    certainty = math.exp((dense_scores[0] - _USUAL_COSINE) / _COSINE_SCALE) if cosine else 1.0
    return float(min(max(certainty * _USUAL_MARGIN / margin, 1 / _LARGEST_WEIGHT), _LARGEST_WEIGHT))


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
