"""BEIR folders are read as they are published, and wrong data is reported with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from retrieval_data import (
    LIBRARY,
    json_lines,
    library_corpus,
    library_queries,
    write_beir,
    write_library,
    write_text,
)

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.evaluation import DataError, load_dataset

pytestmark = pytest.mark.evaluation


@pytest.mark.parametrize("zipped", [False, True])
def test_a_beir_folder(tmp_path: Path, zipped: bool) -> None:
    dataset = load_dataset(write_library(tmp_path / "library", zipped=zipped))
    assert (dataset.name, dataset.protocol) == ("library", "beir")
    assert len(dataset.corpus) == len(LIBRARY)
    assert dataset.corpus[1] == Passage(LIBRARY[1][0], LIBRARY[1][1])
    assert dataset.queries[1:3] == LIBRARY[1][2]
    assert dataset.relevant is not None
    assert dataset.relevant[1:3] == [{1: 1}, {1: 1}]
    assert dataset.notes == []


def test_grades_are_kept_and_only_judged_queries_are_asked(tmp_path: Path) -> None:
    queries, _ = library_queries()
    judgments = [("q3", "d0", 2), ("q3", "d1", 0), ("q1", "d1", 1), ("q5", "d2", 0)]
    dataset = load_dataset(write_beir(tmp_path, library_corpus(), queries, judgments))
    assert dataset.query_ids == ["q3", "q1"]
    assert dataset.relevant == [{0: 2, 1: 0}, {1: 1}]
    assert dataset.notes == [f"1 queries left out, no passage judged relevant: first {tmp_path / 'qrels/test.tsv'}:5"]


def test_limit_passages_takes_the_first_ones_and_keeps_what_is_judged_beyond(tmp_path: Path) -> None:
    dataset = load_dataset(write_library(tmp_path), limit_passages=4)
    assert len(dataset.corpus) == 4
    assert len(dataset.queries) == len(library_queries()[0])
    assert dataset.relevant is not None
    assert dataset.relevant[-1] == {-1: 1}
    assert dataset.notes == ["10 judged passages are beyond the first 4 and cannot be found"]


def test_another_split(tmp_path: Path) -> None:
    write_library(tmp_path)
    write_text(tmp_path / "qrels" / "dev.tsv", "q0\td0\t1\n")
    assert load_dataset(tmp_path, split="dev").query_ids == ["q0"]
    with pytest.raises(
        FileNotFoundError, match=r"qrels/train\.tsv is missing, also with \.gz; found .*dev\.tsv, test\.tsv"
    ):
        load_dataset(tmp_path, split="train")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_part_is_named(tmp_path: Path, name: str) -> None:
    write_library(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing, also with .gz"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "text", "problem"),
    [
        ("qrels/test.tsv", 3, "q0\td0\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", 3, "q0\t0\td0\t1\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", 3, "q0\td0\thigh\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", 3, "q0\td99\t1\n", "no passage has the id 'd99'"),
        ("qrels/test.tsv", 3, "q99\td0\t1\n", "no query has the id 'q99'"),
        ("corpus.jsonl", 3, '{"_id": "d0", "text": "again"}\n', "the passage id 'd0' stands already in"),
        ("corpus.jsonl", 3, '{"_id": "x"}\n', "found the keys _id; expected text"),
        ("corpus.jsonl", 3, '{"text": "x"}\n', "found the keys text; expected _id or id"),
        ("corpus.jsonl", 3, '{"_id": "x", "text": \n', "broken JSON"),
        ("queries.jsonl", 3, '{"_id": "q0", "text": "again?"}\n', "the query id 'q0' stands already in"),
        ("queries.jsonl", 3, '{"_id": "x", "text": ""}\n', "text is empty"),
    ],
)
def test_wrong_beir_data_is_reported_with_file_and_line(
    tmp_path: Path, name: str, line: int, text: str, problem: str
) -> None:
    write_library(tmp_path)
    lines = (tmp_path / name).read_text().splitlines(keepends=True)
    write_text(tmp_path / name, "".join([*lines[: line - 1], text, *lines[line - 1 :]]))
    with pytest.raises(DataError) as error:
        load_dataset(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / name}:{line}: ")
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("corpus.jsonl", "found no passages"),
        ("qrels/test.tsv", "found no judgments"),
        ("queries.jsonl", "no query has the id 'q0'"),
    ],
)
def test_empty_files_are_reported(tmp_path: Path, name: str, problem: str) -> None:
    write_library(tmp_path)
    write_text(tmp_path / name, "")
    with pytest.raises(DataError, match=problem):
        load_dataset(tmp_path)


def test_nothing_judged_relevant_is_reported(tmp_path: Path) -> None:
    write_library(tmp_path)
    write_text(tmp_path / "qrels" / "test.tsv", "q0\td0\t0\n")
    with pytest.raises(DataError, match=r"test\.tsv: no passage is judged relevant"):
        load_dataset(tmp_path)


def test_distractors_join_the_corpus_and_answer_nothing(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "library")
    lines = write_text(tmp_path / "more.jsonl", json_lines([{"_id": "x1", "title": "New", "text": "one"}]), zipped=True)
    table = write_text(tmp_path / "more.tsv", "id\ttext\ttitle\nx2\ttwo\tTable\n")
    plain, dataset = load_dataset(folder), load_dataset(folder, distractors=[lines, table])
    assert dataset.corpus[-2:] == [Passage("New", "one"), Passage("Table", "two")]
    assert dataset.relevant == plain.relevant
    with pytest.raises(DataError, match=r"more\.tsv:2: the passage id 'x2' stands already in .*more\.tsv:2"):
        load_dataset(folder, distractors=[table, table])
