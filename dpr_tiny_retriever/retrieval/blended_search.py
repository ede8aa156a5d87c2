"""The blend as hits that say why: what the adapters share, whoever keeps the passages and finds the dense ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from dpr_tiny_retriever.retrieval.fusion import LIST_LENGTH, Placement, RankedList, blend, explain


class BlendedHit(NamedTuple):
    """A passage of a blended ranking."""

    id: str
    score: float
    placement: Placement
    """Its rank and score among the dense hits and among BM25's."""


def list_length(top_k: int) -> int:
    """How many hits of each part are to be blended into the top_k best."""
    return max(LIST_LENGTH, top_k)


def blended_hits(
    dense: Mapping[str, float],
    bm25: Mapping[str, float],
    top_k: int,
    *,
    cosine: bool,
    number_of: Callable[[str], int],
    depth: int,
) -> list[BlendedHit]:
    """Blend two lists of scores by id into the top_k best; equal scores are ordered by number.

    cosine, depth: as in fusion.blend.
    number_of: the number of an id, which is another one for each id; where passages are numbered as they were added,
    the ranking is that of PassageIndex.
    """
    numbers = {id: number_of(id) for id in (*dense, *bm25)}
    ids = {number: id for id, number in numbers.items()}
    dense_list, bm25_list = _ranked(dense, numbers), _ranked(bm25, numbers)
    best = blend(dense_list, bm25_list, top_k, depth=depth, cosine=cosine)
    placements = explain(best.ids, dense_list, bm25_list)
    return [
        BlendedHit(ids[int(number)], float(score), placement)
        for number, score, placement in zip(best.ids, best.scores, placements, strict=True)
    ]


def _ranked(scores: Mapping[str, float], numbers: Mapping[str, int]) -> RankedList:
    """The numbers of ids, the highest score first and equal scores by number, as blend orders equal sums."""
    pairs = sorted((-score, numbers[id]) for id, score in scores.items())
    return RankedList([number for _, number in pairs], [-score for score, _ in pairs])
