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
    assert dataset.notes == [
        f"10 judged passages are beyond the first 4 and cannot be found: first {tmp_path / 'qrels/test.tsv'}:7"
    ]


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


def with_line(folder: Path, name: str, text: str) -> Path:
    """A library of which the third line of a file is this text."""
    write_library(folder)
    lines = (folder / name).read_text().splitlines(keepends=True)
    write_text(folder / name, "".join([*lines[:2], text, *lines[2:]]))
    return folder


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("qrels/test.tsv", "q0\td0\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", "q0\t0\td0\t1\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", "q0\td0\thigh\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", "q0\td0\t0.5\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", "q0\td0\tinf\n", "expected a query id, a passage id and a whole number"),
        ("qrels/test.tsv", "\td0\t1\n", "expected a query id, a passage id and a whole number"),
        ("corpus.jsonl", '{"_id": "x"}\n', "found the keys _id; expected text"),
        ("corpus.jsonl", '{"text": "x"}\n', "found the keys text; expected _id or id"),
        ("corpus.jsonl", '{"_id": true, "text": "x"}\n', "_id is true; expected a text"),
        ("corpus.jsonl", '{"_id": "x", "text": null}\n', "the text of a passage is None"),
        ("corpus.jsonl", '{"_id": "x", "text": "x", "title": 3}\n', "the title of a passage is 3"),
        ("corpus.jsonl", '{"_id": "x", "text": "\\ud800"}\n', "lone surrogate"),
        ("corpus.jsonl", '{"_id": "x", "text": \n', "broken JSON"),
        ("queries.jsonl", '{"text": "what?"}\n', "expected _id or id"),
        ("queries.jsonl", "[]\n", "found []; expected a JSON object"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_counted_and_left_out(
    tmp_path: Path, name: str, text: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    plain = load_dataset(write_library(tmp_path))
    dataset = load_dataset(with_line(tmp_path, name, text))
    assert (dataset.queries, dataset.relevant) == (plain.queries, plain.relevant)
    assert dataset.corpus[:] == plain.corpus[:]
    [note] = dataset.notes
    assert note.startswith(f"1 record left out: first {tmp_path / name}:3: ")
    assert problem in note
    assert problem in caplog.text


def test_judged_passages_that_the_corpus_lacks_count_as_not_found(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels" / "test.tsv"
    dataset = load_dataset(with_line(tmp_path, "qrels/test.tsv", "q0\tgone\t2\nq0\tgone too\t0\n"))
    assert dataset.relevant is not None
    assert dataset.relevant[0] == {0: 1, -2: 2, -3: 0}
    assert dataset.notes == [f"2 judged passages are not in corpus.jsonl and cannot be found: first {qrels}:3"]
    write_text(qrels, "q0\tgone\t1\n")
    with pytest.raises(DataError, match=r"test\.tsv: 1 judged passages are not in .*; expected the corpus"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("query", ["", '{"_id": "q99", "text": " "}\n'])
def test_judged_queries_without_a_text_are_left_out(tmp_path: Path, query: str) -> None:
    plain = load_dataset(write_library(tmp_path))
    with_line(tmp_path, "qrels/test.tsv", "q99\td0\t1\n")
    write_text(tmp_path / "queries.jsonl", (tmp_path / "queries.jsonl").read_text() + query)
    dataset = load_dataset(tmp_path)
    assert dataset.queries == plain.queries
    first = f"{tmp_path / 'qrels/test.tsv'}:3"
    assert dataset.notes[0] == f"1 judged queries left out, no text in queries.jsonl: first {first}"
    assert len(dataset.notes) == 1 + bool(query)


def test_an_empty_query_that_is_not_judged_hinders_nothing(tmp_path: Path) -> None:
    dataset = load_dataset(with_line(tmp_path, "queries.jsonl", '{"_id": "x", "text": ""}\n'))
    assert dataset.notes == []


@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\n", "q\td\trelevance\n", "\ufeffq\td\tr\n"])
def test_the_first_line_is_a_header_only_where_its_third_field_is_no_number(tmp_path: Path, header: str) -> None:
    write_library(tmp_path)
    write_text(tmp_path / "qrels" / "test.tsv", f"{header}q0\td1\t1.0\nq0\td0\t2\n")
    dataset = load_dataset(tmp_path)
    assert dataset.relevant == [{1: 1, 0: 2}]
    assert dataset.notes == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("qrels/test.tsv", "q0\td0\t0\n", "passage 'd0' is judged 0 for query 'q0', but 1 in"),
        ("corpus.jsonl", '{"_id": "d0", "text": "again"}\n', "the passage id 'd0' stands already in"),
        ("queries.jsonl", '{"_id": "q0", "text": "again?"}\n', "the query id 'q0' stands already in"),
        ("qrels/test.tsv", '"q0\td0\t1\n', "found a quoted field that goes on over following rows"),
    ],
)
def test_records_that_contradict_or_swallow_others_are_refused(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(DataError) as error:
        load_dataset(with_line(tmp_path, name, text))
    assert str(error.value).startswith(f"{tmp_path / name}:3: ")
    assert problem in str(error.value)


def test_what_is_said_twice_and_alike_is_read_once(tmp_path: Path) -> None:
    plain = load_dataset(write_library(tmp_path))
    with_line(tmp_path, "qrels/test.tsv", "q0\td0\t1\n")
    queries = (tmp_path / "queries.jsonl").read_text()
    write_text(tmp_path / "queries.jsonl", queries + queries)
    dataset = load_dataset(tmp_path)
    assert (dataset.queries, dataset.relevant, dataset.notes) == (plain.queries, plain.relevant, [])


def test_a_query_knows_the_passage_that_has_its_own_id(tmp_path: Path) -> None:
    write_beir(
        tmp_path,
        library_corpus(),
        [{"_id": "d1", "text": "a"}, {"_id": "q", "text": "b"}],
        [("d1", "d0", 1), ("q", "d0", 1)],
    )
    assert load_dataset(tmp_path).own_rows == [1, -1]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("corpus.jsonl", "found no passages"),
        ("qrels/test.tsv", "found no judgments"),
        ("queries.jsonl", "no query with a text has a passage judged relevant; 15 judged queries left out"),
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
    with pytest.raises(DataError, match=r"test\.tsv: no query with a text has .* relevant; 1 queries left out"):
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
