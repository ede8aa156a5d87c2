"""Passages with questions and answers are read as they are published; options fit their protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from retrieval_data import (
    dpr_record,
    json_lines,
    library_corpus,
    write_dpr,
    write_library,
    write_text,
)

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.evaluation import DataError, load_dataset

pytestmark = pytest.mark.evaluation


def test_dprs_passages_and_questions(tmp_path: Path) -> None:
    passages = write_text(
        tmp_path / "psgs.tsv", 'id\ttext\ttitle\n1\t"a ""quoted"" text"\tOne\n2\tother\tTwo\n', zipped=True
    )
    questions = write_text(tmp_path / "nq-test.csv", "who is it\t['Anna', \"O'Neil\"]\nwhen\t['1990']\n")
    dataset = load_dataset(passages, questions=questions)
    assert dataset.protocol == "answers"
    assert dataset.corpus[:] == [Passage("One", 'a "quoted" text'), Passage("Two", "other")]
    assert dataset.queries == ["who is it", "when"]
    assert dataset.answers == [["Anna", "O'Neil"], ["1990"]]
    assert dataset.relevant is None
    assert len(load_dataset(passages, questions=questions, limit_passages=1).corpus) == 1


def test_questions_as_json(tmp_path: Path) -> None:
    passages = write_text(tmp_path / "passages.jsonl", json_lines(library_corpus()))
    records = [{"question": "who?", "answer": ["a", "b"]}, {"query": "when?", "answers": "c"}]
    dataset = load_dataset(passages, questions=write_text(tmp_path / "qa.jsonl", json_lines(records)))
    assert (dataset.queries, dataset.answers) == (["who?", "when?"], [["a", "b"], ["c"]])


def test_a_beir_folder_with_answers(tmp_path: Path) -> None:
    folder = write_library(tmp_path)
    write_text(folder / "answers.json", json.dumps({"q0": ["lighthouse"], "q4": ["four", "4"]}), zipped=True)
    dataset = load_dataset(folder, protocol="answers")
    assert (dataset.query_ids, dataset.answers) == (["q0", "q4"], [["lighthouse"], ["four", "4"]])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("who", "found 1 fields; expected 2"),
        ("who\tAnna", "the answers are 'Anna'; expected a list"),
        ("who\t[]", "expected a list of one text or more"),
        ("who\t[1]", "expected a list of one text or more"),
        ("who\t[' ']", "holds no word"),
    ],
)
def test_wrong_answers_are_named_with_file_and_line_and_left_out(tmp_path: Path, line: str, problem: str) -> None:
    passages = write_text(tmp_path / "psgs.tsv", "1\ttext\ttitle\n")
    questions = write_text(tmp_path / "qa.tsv", f"good\t['a']\n{line}\nbetter\t['b']\n")
    dataset = load_dataset(passages, questions=questions)
    assert (dataset.queries, dataset.answers) == (["good", "better"], [["a"], ["b"]])
    [note] = dataset.notes
    assert note.startswith(f"1 record left out: first {questions}:2: ")
    assert problem in note
    write_text(questions, f"{line}\n")
    with pytest.raises(DataError, match=r"qa\.tsv: found no questions; .*; 1 record left out: first .*qa\.tsv:1: "):
        load_dataset(passages, questions=questions)


def test_a_passage_row_with_too_few_fields_is_named_and_left_out(tmp_path: Path) -> None:
    passages = write_text(tmp_path / "psgs.tsv", "1\ttext\ttitle\n2\ttext\nid\tkey\tKeys\n")
    dataset = load_dataset(passages, questions=write_text(tmp_path / "qa.tsv", "q\t['a']\n"))
    assert dataset.corpus[:] == [Passage("title", "text"), Passage("Keys", "key")], "only the first line is a header"
    [note] = dataset.notes
    assert note.startswith(f"1 record left out: first {passages}:2: found 2 fields; expected 3")


def test_a_header_names_the_columns(tmp_path: Path) -> None:
    passages = write_text(tmp_path / "psgs.tsv", "id\ttitle\ttext\n1\tOne\tfirst\n")
    dataset = load_dataset(passages, questions=write_text(tmp_path / "qa.tsv", "q\t['a']\n"))
    assert dataset.corpus[:] == [Passage("One", "first")]


def test_options_of_another_protocol_are_refused(tmp_path: Path) -> None:
    folder = write_library(tmp_path)
    dpr = write_dpr(tmp_path / "dev.json", dpr_record("one?", ["a"], ["b"]))
    with pytest.raises(ValueError, match="found questions with the protocol beir"):
        load_dataset(folder, protocol="beir", questions=dpr)
    with pytest.raises(ValueError, match="limit_passages is 5 with dpr-dev"):
        load_dataset(dpr, limit_passages=5)
    with pytest.raises(ValueError, match="limit_passages is 0 with beir"):
        load_dataset(folder, limit_passages=0)
    with pytest.raises(ValueError, match="hard_negatives is -1"):
        load_dataset(dpr, hard_negatives=-1)
    with pytest.raises(ValueError, match="protocol is 'trec'; expected dpr-dev, beir, answers"):
        load_dataset(folder, protocol="trec")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no questions are given"):
        load_dataset(dpr, protocol="answers")
