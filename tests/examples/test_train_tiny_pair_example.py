"""The training example reaches the hit rate that it states."""

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.training

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_tiny_pair.py"


def test_a_pair_trained_from_nothing_reaches_the_stated_hit_rate(minilm_directory: Path) -> None:
    example = runpy.run_path(str(EXAMPLE))
    assert example["main"](str(minilm_directory)) >= example["EXPECTED_HIT_RATE"]
