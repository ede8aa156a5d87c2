"""Fusion of ranked lists is its formula, whatever the ids are."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr_tiny_retriever.retrieval.fusion import Placement, RankedList, blend, explain, reciprocal_rank_fusion

NOTHING = RankedList([], [])


def ranked(ids: Sequence[int] | Sequence[str], scores: Sequence[float] | None = None) -> RankedList:
    return RankedList(ids, range(len(ids), 0, -1) if scores is None else scores)


def test_reciprocal_rank_fusion_is_its_formula() -> None:
    fused = reciprocal_rank_fusion([ranked([3, 1, 0]), ranked([1, 2])], 4)
    assert list(fused.ids) == [1, 3, 2, 0]
    assert list(fused.scores) == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63], rel=1e-12)
    fused = reciprocal_rank_fusion([ranked([3, 1]), ranked([1, 2])], 2, constant=0)
    assert list(fused.ids) == [1, 3]
    assert list(fused.scores) == pytest.approx([1 / 2 + 1, 1])


def test_a_hit_says_where_it_stood_in_each_list() -> None:
    dense, sparse = ranked(["b", "a"], [0.9, 0.5]), ranked(["a"], [7.0])
    assert explain(["a", "b", "c"], dense, sparse) == [
        Placement(2, 0.5, 1, 7.0),
        Placement(1, 0.9, None, None),
        Placement(None, None, None, None),
    ]


def test_equal_sums_are_ordered_by_id() -> None:
    assert list(reciprocal_rank_fusion([ranked([1, 2]), ranked([2, 1])], 2).ids) == [1, 2]
    assert list(reciprocal_rank_fusion([ranked(["b", "a"]), ranked(["a", "b"])], 2).ids) == ["a", "b"]


def test_one_list_may_be_empty_or_all() -> None:
    assert list(reciprocal_rank_fusion([NOTHING, ranked([2, 1])], 2).ids) == [2, 1]
    assert list(reciprocal_rank_fusion([NOTHING, NOTHING], 2).ids) == []
    assert list(reciprocal_rank_fusion([], 2).ids) == []
    assert list(blend(NOTHING, ranked([1, 2], [8, 4]), 2, depth=2, cosine=True).ids) == [1, 2]
    assert list(blend(NOTHING, ranked(["b", "a"], [8, 4]), 2, depth=9, cosine=False).ids) == ["b", "a"]
    assert list(blend(ranked([5], [2]), NOTHING, 1, depth=1, cosine=False).ids) == [5]
    assert list(blend(NOTHING, NOTHING, 1, depth=1, cosine=True).ids) == []


def weight(best_cosine: float, margin: float) -> float:
    return math.exp((best_cosine - 0.65) / 0.15) * 0.4 / margin


def test_a_blend_adds_cosines_and_bm25_scores_over_their_temperatures() -> None:
    dense, sparse = ranked([3, 1], [0.7, 0.6]), ranked([1, 2], [8, 4])
    share = weight(0.7, margin=1)
    cut_off = blend(dense, sparse, 4, depth=2, cosine=True)
    # Both lists are cut off: passages outside them count like their last ones.
    expected = {3: share * 0.1 / 0.05, 1: 4 / 1.5, 2: 0}
    assert dict(zip(cut_off.ids, cut_off.scores, strict=True)) == pytest.approx(expected)
    complete = blend(dense, sparse, 4, depth=3, cosine=True)
    expected = {3: share * 0.1 / 0.05, 1: 8 / 1.5, 2: 4 / 1.5}
    assert dict(zip(complete.ids, complete.scores, strict=True)) == pytest.approx(expected)


def test_dense_scores_count_more_where_bm25_tells_its_best_apart_less() -> None:
    dense, sparse = ranked([9, 8], [0.8, 0.7]), ranked(range(6), [8, 7, 6, 6, 4, 2])
    [best] = blend(dense, sparse, 1, depth=9, cosine=True).scores
    assert best == pytest.approx(max(weight(0.8, margin=1 - 4 / 8) * 0.1 / 0.05, 8 / 1.5))
    flat = blend(dense, ranked(range(6), [8, 8, 8, 8, 8, 2]), 1, depth=9, cosine=True)
    assert list(flat.ids) == [9]
    assert list(flat.scores) == pytest.approx([30 * 0.1 / 0.05])


def test_dot_products_of_dpr_models_count_as_they_are() -> None:
    dense, sparse = ranked([1, 2, 3], [80.5, 78.5, 70]), ranked([2], [3])
    share = 0.4  # however large the best score is
    blended = blend(dense, sparse, 3, depth=9, cosine=False)
    expected = {1: share * 10.5, 2: share * 8.5 + 3 / 1.5, 3: 0}
    assert dict(zip(blended.ids, blended.scores, strict=True)) == pytest.approx(expected)


def test_no_certainty_makes_one_list_count_for_nothing() -> None:
    sure, unsure = ranked([1, 2], [1.0, 0.9]), ranked([1, 2], [-0.9, -1.0])
    same = ranked([1, 2, 3, 4, 5], [5, 5, 5, 5, 5])
    assert list(blend(sure, same, 1, depth=9, cosine=True).scores) == pytest.approx([30 * 0.1 / 0.05 + 5 / 1.5])
    assert list(blend(unsure, ranked([3], [5]), 2, depth=9, cosine=True).scores) == pytest.approx([5 / 1.5, 2 / 30])


@st.composite
def ranked_lists(draw: st.DrawFn) -> RankedList:
    ids = draw(st.lists(st.integers(0, 12), unique=True, max_size=8))
    scores = draw(st.lists(st.integers(0, 5), min_size=len(ids), max_size=len(ids)))
    return ranked(ids, sorted(map(float, scores), reverse=True))


@given(ranked_lists(), ranked_lists(), st.integers(1, 10), st.integers(1, 10), st.booleans())
def test_names_and_numbers_of_the_same_order_are_fused_alike(
    dense: RankedList, sparse: RankedList, k: int, depth: int, cosine: bool
) -> None:
    def named(ranking: RankedList) -> RankedList:
        return RankedList([f"passage {number:02}" for number in ranking.ids], ranking.scores)

    for numbers, names in (
        (reciprocal_rank_fusion([dense, sparse], k), reciprocal_rank_fusion([named(dense), named(sparse)], k)),
        (
            blend(dense, sparse, k, depth=depth, cosine=cosine),
            blend(named(dense), named(sparse), k, depth=depth, cosine=cosine),
        ),
    ):
        assert list(named(numbers).ids) == list(names.ids)
        assert list(numbers.scores) == list(names.scores) == sorted(numbers.scores, reverse=True)
        assert len(numbers.ids) == min(k, len({*dense.ids, *sparse.ids}))


def test_lists_that_are_not_ranked_are_refused() -> None:
    with pytest.raises(ValueError, match="scores are not in descending order; expected the best first"):
        reciprocal_rank_fusion([ranked([1, 2], [0.1, 0.2])], 2)
    with pytest.raises(ValueError, match="scores are not in descending order"):
        blend(ranked([1, 2], [0.1, np.nan]), NOTHING, 2, depth=2, cosine=True)
    with pytest.raises(ValueError, match=r"found ids \(2,\) and scores \(1,\); expected one score for each id"):
        blend(NOTHING, ranked([1, 2], [0.1]), 2, depth=2, cosine=True)
    with pytest.raises(ValueError, match=r"found a BM25 score of -1.0; expected a form of BM25"):
        blend(NOTHING, ranked([1, 2], [1, -1]), 2, depth=2, cosine=True)


def test_fusion_and_exact_search_import_no_extra() -> None:
    code = """
import sys
import dpr_tiny_retriever.retrieval.fusion, dpr_tiny_retriever.retrieval.nearest_neighbours
extras = ("tensorflow", "transformers", "faiss", "bm25s", "threadpoolctl", "ir_measures", "regex")
print([name for name in extras if sys.modules.get(name)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
