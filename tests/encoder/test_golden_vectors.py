"""The bundled pairs' vectors, pinned: what ships stays what was measured, with every backend."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.also_modern

QUERY = "How many hearts does an octopus have?"
PASSAGE = ("Octopus", "An octopus has three hearts and nine brains, and its blood is blue.")


class Pinned(NamedTuple):
    """The first numbers of both vectors, and their dot product."""

    query: list[float]
    passage: list[float]
    score: float


PINNED = {
    "bundled": Pinned(
        [-0.085273, 0.010640, -0.114285, -0.166536, 0.012638, -0.076232, 0.181813, 0.187747],
        [-0.128492, 0.081586, -0.113815, -0.098927, -0.012383, -0.129864, 0.139228, 0.235088],
        0.770383,
    ),
    "bundled-L12": Pinned(
        [-0.039345, -0.029835, -0.181634, -0.123275, 0.027261, -0.037482, 0.196030, 0.208388],
        [-0.120458, 0.040578, -0.185118, -0.132529, 0.009767, -0.077574, 0.192421, 0.291304],
        0.755493,
    ),
}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", PINNED)
def test_a_bundled_pair_gives_the_pinned_vectors(name: str) -> None:
    pair = DualEncoder.from_pretrained(name)
    (query,), (passage,) = pair.encode_queries([QUERY]), pair.encode_passages([PASSAGE])
    np.testing.assert_allclose(query[:8], PINNED[name].query, rtol=0, atol=1e-5)
    np.testing.assert_allclose(passage[:8], PINNED[name].passage, rtol=0, atol=1e-5)
    assert query @ passage == pytest.approx(PINNED[name].score, abs=1e-5)
