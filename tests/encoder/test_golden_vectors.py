"""The bundled pair's vectors, pinned: what ships stays what was measured, with every backend."""

from __future__ import annotations

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.also_modern

QUERY = "How many hearts does an octopus have?"
PASSAGE = ("Octopus", "An octopus has three hearts and nine brains, and its blood is blue.")

QUERY_VECTOR = [
    -0.093410,
    0.096514,
    -0.137648,
    -0.112398,
    -0.008215,
    -0.162785,
    0.129939,
    0.172690,
    -0.047662,
    -0.056390,
]
PASSAGE_VECTOR = [
    -0.056483,
    0.185796,
    -0.114521,
    -0.044127,
    -0.093276,
    -0.183866,
    0.105390,
    0.241102,
    -0.042504,
    -0.092923,
]


@pytest.mark.usefixtures("backend")
def test_the_bundled_pair_gives_the_pinned_vectors() -> None:
    pair = DualEncoder.from_pretrained()
    (query,), (passage,) = pair.encode_queries([QUERY]), pair.encode_passages([PASSAGE])
    np.testing.assert_allclose(query[:10], QUERY_VECTOR, rtol=0, atol=1e-5)
    np.testing.assert_allclose(passage[:10], PASSAGE_VECTOR, rtol=0, atol=1e-5)
    assert query @ passage == pytest.approx(0.747503, abs=1e-5)
