"""The bundled pair's vectors, pinned: what ships stays what was measured, with every backend."""

from __future__ import annotations

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.also_modern

QUERY = "How many hearts does an octopus have?"
PASSAGE = ("Octopus", "An octopus has three hearts and nine brains, and its blood is blue.")

QUERY_VECTOR = [
    -0.085272,
    0.010640,
    -0.114284,
    -0.166535,
    0.012638,
    -0.076232,
    0.181813,
    0.187748,
    0.056577,
    -0.033086,
]
PASSAGE_VECTOR = [
    -0.128491,
    0.081586,
    -0.113815,
    -0.098926,
    -0.012384,
    -0.129864,
    0.139228,
    0.235089,
    0.025532,
    -0.076973,
]


@pytest.mark.usefixtures("backend")
def test_the_bundled_pair_gives_the_pinned_vectors() -> None:
    pair = DualEncoder.from_pretrained()
    (query,), (passage,) = pair.encode_queries([QUERY]), pair.encode_passages([PASSAGE])
    np.testing.assert_allclose(query[:10], QUERY_VECTOR, rtol=0, atol=1e-5)
    np.testing.assert_allclose(passage[:10], PASSAGE_VECTOR, rtol=0, atol=1e-5)
    assert query @ passage == pytest.approx(0.770383, abs=1e-5)
