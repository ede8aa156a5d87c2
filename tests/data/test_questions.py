"""Files of questions."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.questions import read_questions
from dpr_tiny_retriever.data.skipped_records import SkippedRecords


@pytest.mark.parametrize("name", ["questions.txt", "questions.txt.gz", "questions.jsonl", "questions.jsonl.gz"])
def test_questions_are_read_in_their_order(tmp_path: Path, name: str) -> None:
    lines = [" who wrote it ", "", "Wer schrieb Übergröße?"]
    if ".jsonl" in name:
        lines = [f'{{"question": "{line}", "answers": ["a"]}}' if line else "" for line in lines]
    with (gzip.open if name.endswith(".gz") else open)(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    assert list(read_questions(tmp_path / name)) == ["who wrote it", "Wer schrieb Übergröße?"]


def test_a_line_that_cannot_be_used_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_bytes(b"first\n\xff\nlast\n")
    (tmp_path / "questions.jsonl").write_text('{"question": "first"}\n{"question": 3}\n{"question": "last"}\n')
    for name, problem in (
        ("questions.txt", "0xff is not UTF-8"),
        ("questions.jsonl", "question is 3; expected a text"),
    ):
        skipped = SkippedRecords()
        assert list(read_questions(tmp_path / name, skipped=skipped)) == ["first", "last"]
        assert skipped.count == 1
        with pytest.raises(DataError, match=rf"{name}:2: .*{problem}"):
            list(read_questions(tmp_path / name))
