"""The example opens one index with both question encoders."""

import runpy
from pathlib import Path

import pytest
from model_folders import bert_record, write_model

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.evaluation

EXAMPLE = Path(__file__).parents[2] / "examples" / "fast_questions.py"


def test_one_index_is_searched_with_questions_of_both_encoders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The larger model's questions and those of a copy, saved beside it as training saves them, find the same."""
    teacher = write_model(tmp_path / "teacher", bert_record(layers=1, width=32), seed=5)
    DualEncoder.from_pretrained(teacher).save_pretrained(tmp_path / "pair")
    found = runpy.run_path(str(EXAMPLE))["main"](str(teacher), str(tmp_path / "pair" / "query_encoder"), topics=20)
    assert found["fast questions"] == found["its own questions"]
    assert found["fast questions"][-1] == 1  # all of 20 are among the first 20
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("20 passages, 20 questions")
    assert [line.split("  ")[0] for line in lines[1:]] == ["its own questions", "fast questions"]
