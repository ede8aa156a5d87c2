"""Exact search is exact, orders equal scores by row, and holds blocks, not the whole product."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from dpr_tiny_retriever.data.passage_store import UniquePassages
from dpr_tiny_retriever.retrieval import nearest_neighbours
from dpr_tiny_retriever.retrieval.nearest_neighbours import (
    Hits,
    TopK,
    best_rows,
    exact_search,
    expand_duplicates,
)
from dpr_tiny_retriever.types import Metric

pytestmark = pytest.mark.also_lowest

Floats = NDArray[np.float32]


def brute_force(
    queries: Floats, passages: Floats, k: int, metric: Metric
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    q, p = queries.astype(np.float64), passages.astype(np.float64)
    if metric == "cosine":
        q = q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-30)
        p = p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-30)
    scores = -((q[:, None] - p[None]) ** 2).sum(-1) if metric == "l2" else q @ p.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


# Small integers: every product is exact in float32, and ties are frequent.
small_integers = st.integers(-3, 3)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 4), st.integers(1, 50))


@given(data=st.data(), shape=shapes, metric=st.sampled_from(["dot", "l2"]), block=st.integers(1, 17))
def test_exact_search_equals_brute_force_with_ties_by_row(
    data: st.DataObject, shape: tuple[int, ...], metric: Metric, block: int
) -> None:
    count, size, dim, k = shape
    k = min(k, size)
    queries = data.draw(arrays.arrays(np.float32, (count, dim), elements=small_integers.map(float)))
    passages = data.draw(arrays.arrays(np.float32, (size, dim), elements=small_integers.map(float)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_neighbours, "PASSAGE_BLOCK", block)
        patch.setattr(nearest_neighbours, "QUERY_BLOCK", 4)
        hits = exact_search(queries, passages, k, metric=metric)
    rows, scores = brute_force(queries, passages, k, metric)
    np.testing.assert_array_equal(hits.rows, rows)
    np.testing.assert_array_equal(hits.scores, scores)


@given(data=st.data(), k=st.integers(1, 40))
def test_best_rows_equal_a_stable_sort_without_minus_infinity(data: st.DataObject, k: int) -> None:
    some_scores = st.sampled_from([-np.inf, -2.0, -0.0, 0.0, 1.0, 1.5])
    scores = data.draw(
        arrays.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 30)), elements=some_scores)
    )
    hits = best_rows(scores, k)
    for row_scores, rows, best in zip(scores, hits.rows, hits.scores, strict=True):
        expected = [row for row in np.argsort(-row_scores, kind="stable") if row_scores[row] > -np.inf][:k]
        assert rows.tolist() == expected + [-1] * (k - len(expected))
        assert best.tolist() == [*row_scores[expected].tolist(), *[-np.inf] * (k - len(expected))]


@pytest.mark.parametrize("metric", ["dot", "l2", "cosine"])
def test_exact_search_equals_brute_force_on_random_vectors(metric: Metric) -> None:
    random = np.random.default_rng(0)
    queries = random.standard_normal((300, 24), dtype=np.float32)
    passages = random.standard_normal((40_000, 24), dtype=np.float32)
    passages[7] = 0
    hits = exact_search(queries, passages, 50, metric=metric)
    rows, scores = brute_force(queries[:20], passages, 50, metric)
    np.testing.assert_array_equal(hits.rows[:20], rows)
    np.testing.assert_allclose(hits.scores[:20], scores, atol=1e-4)


def test_unit_vectors_rank_alike_by_every_metric() -> None:
    random = np.random.default_rng(1)
    queries, passages = (random.standard_normal((n, 8), dtype=np.float32) for n in (5, 100))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    passages /= np.linalg.norm(passages, axis=1, keepdims=True)
    dot, l2, cosine = (exact_search(queries, passages, 100, metric=metric).rows for metric in ("dot", "l2", "cosine"))
    np.testing.assert_array_equal(dot, l2)
    np.testing.assert_array_equal(dot, cosine)


def test_memory_does_not_grow_with_queries_times_passages() -> None:
    random = np.random.default_rng(2)
    queries, passages = (random.standard_normal((n, 8), dtype=np.float32) for n in (4000, 100_000))

    def peak(count: int) -> int:
        tracemalloc.start()
        exact_search(queries[:count], passages, 10)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(4000) < 1.2 * peak(1000) + 1_000_000
    assert peak(4000) < len(queries) * len(passages) * 4 / 5


def test_minus_infinity_is_no_hit() -> None:
    best = TopK(2, 3)
    best.add(np.array([[-np.inf, 2], [-np.inf, -np.inf]], np.float32), 0)
    best.add(np.array([[-0.0, 0.0], [-np.inf, -5]], np.float32), 2)
    hits = best.hits()
    np.testing.assert_array_equal(hits.rows, [[1, 2, 3], [3, -1, -1]])
    np.testing.assert_array_equal(hits.scores, [[2, 0, 0], [-5, -np.inf, -np.inf]])


def test_duplicates_are_ranked_in_corpus_order() -> None:
    # Rows 0..5 hold the passages A B A C B A.
    unique = UniquePassages(np.array([0, 1, 3]), np.array([0, 1, 0, 2, 1, 0]))
    hits = Hits(np.array([[1, 0, 2]], np.int32), np.array([[2, 1, 1]], np.float32))
    expanded = expand_duplicates(hits, unique)
    np.testing.assert_array_equal(expanded.rows, [[1, 4, 0]])
    padded = Hits(np.pad(hits.rows, ((0, 0), (0, 4)), constant_values=-1), np.pad(hits.scores, ((0, 0), (0, 4))))
    np.testing.assert_array_equal(expand_duplicates(padded, unique).rows, [[1, 4, 0, 2, 3, 5, -1]])


def test_wrong_arguments_are_refused() -> None:
    queries, passages = np.ones((2, 4), np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="k is 4 with 3 passages"):
        exact_search(queries, passages, 4)
    with pytest.raises(ValueError, match=r"queries are \(2, 4\), passages \(3, 3\)"):
        exact_search(queries, passages[:, :3], 1)
    with pytest.raises(ValueError, match="metric is 'manhattan'"):
        exact_search(queries, passages, 1, metric="manhattan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are no queries"):
        exact_search(queries[:0], passages, 1)
    passages[1, 2] = np.nan
    with pytest.raises(ValueError, match="row 1 of the passages holds NaN or an infinity"):
        exact_search(queries, passages, 1)
