"""The farm-haystack side of the guide to haystack-ai finds the same as the other side, and hands its documents over."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from moved_documents import CASES, RANKINGS, documents, example, similarities

pytestmark = pytest.mark.farm_haystack

# Both are read when haystack is imported.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"  # it warns of SQLAlchemy 2, which farm-haystack excludes


@pytest.mark.parametrize(("pair", "question"), CASES)
def test_names_are_those_of_the_other_side_and_scores_are_scaled_similarities(
    pair: str, question: str, pair_directory: Path, minilm_directory: Path, tmp_path: Path
) -> None:
    model, dim = (minilm_directory, 384) if pair == "minilm" else (pair_directory, 128)
    found = example("move_from_farm_haystack.py")(str(tmp_path / "documents.jsonl"), question, str(model), dim)
    assert [name for name, _ in found] == RANKINGS[pair][question]
    similarity = similarities(question, model)
    for name, score in found:
        raw = similarity[name]
        assert score == pytest.approx((raw + 1) / 2 if pair == "minilm" else 1 / (1 + math.exp(-raw / 100)), abs=1e-5)
    lines = (tmp_path / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == documents()
