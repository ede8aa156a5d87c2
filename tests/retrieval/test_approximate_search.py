"""An approximate index is measured against the exact search."""

from __future__ import annotations

import numpy as np
import pytest

from dpr_tiny_retriever.retrieval.nearest_neighbours import approximate_search, exact_search, recall_vs_exact
from dpr_tiny_retriever.types import Metric

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]


@pytest.mark.parametrize("metric", ["dot", "l2", "cosine"])
@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_an_approximate_index_finds_most_of_the_exact_neighbours(metric: Metric, index: str) -> None:
    random = np.random.default_rng(3)
    centres = random.standard_normal((40, 16))
    passages = (centres[random.integers(0, 40, 4000)] + 0.3 * random.standard_normal((4000, 16))).astype(np.float32)
    queries = (centres[random.integers(0, 40, 50)] + 0.3 * random.standard_normal((50, 16))).astype(np.float32)
    exact = exact_search(queries, passages, 10, metric=metric)
    found = approximate_search(queries, passages, 10, metric=metric, index=index)  # type: ignore[arg-type]
    assert 0.8 < recall_vs_exact(found, exact, 10) <= 1
    same = found.rows == exact.rows
    np.testing.assert_allclose(found.scores[same], exact.scores[same], atol=1e-3)
    assert recall_vs_exact(exact, exact, 10) == 1


def test_an_unknown_index_is_refused() -> None:
    vectors = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="index is 'flat'; expected 'hnsw' or 'ivf'"):
        approximate_search(vectors, vectors, 1, index="flat")  # type: ignore[arg-type]
