"""The haystack-ai side of the guide from farm-haystack finds what the other side does, with plain similarities."""

from __future__ import annotations

from pathlib import Path

import pytest
from moved_documents import CASES, HANDED_OVER, RANKINGS, example, similarities

pytestmark = pytest.mark.haystack


@pytest.mark.parametrize(("pair", "question"), CASES)
def test_names_are_those_of_the_other_side_and_scores_are_similarities(
    pair: str, question: str, pair_directory: Path, minilm_directory: Path
) -> None:
    model = minilm_directory if pair == "minilm" else pair_directory
    found = example("move_to_haystack_ai.py")(str(HANDED_OVER), question, str(model))
    assert [name for name, _ in found] == RANKINGS[pair][question]
    similarity = similarities(question, model)
    assert dict(found) == pytest.approx({name: similarity[name] for name, _ in found}, rel=1e-4)
