"""The published file forms are read as they are, and wrong data is reported with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from retrieval_data import (
    LIBRARY,
    context,
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


def record(question: str, positives: list[str], negatives: list[str], **changes: Any) -> dict[str, Any]:
    return {
        "question": question,
        "answers": ["x"],
        "positive_ctxs": [context("p", text, text) for text in positives],
        "negative_ctxs": [],
        "hard_negative_ctxs": [context("n", text, text) for text in negatives],
    } | changes


def write_dpr(path: Path, *records: dict[str, Any]) -> Path:
    return write_text(path, json.dumps(list(records), indent=4))


# DPR JSON


def test_dpr_dev_takes_the_first_positive_and_the_first_hard_negatives_in_order(tmp_path: Path) -> None:
    path = write_dpr(
        tmp_path / "dev.json", record("one?", ["a", "b"], ["c", "d", "e"]), record("two?", ["c"], ["a", "a"])
    )
    dataset = load_dataset(path, hard_negatives=2)
    assert dataset.protocol == "dpr-dev"
    assert dataset.queries == ["one?", "two?"]
    assert [passage.text for passage in dataset.corpus] == ["a", "c", "d", "c", "a", "a"]
    assert [passage.title for passage in dataset.corpus] == ["p", "n", "n", "p", "n", "n"]
    assert dataset.relevant == [{0: 1}, {3: 1}]
    assert [dataset.corpus.passage_id(row) for row in (0, 2, 3)] == ["q1-p1", "q1-n2", "q2-p1"]


def test_dpr_dev_asks_for_thirty_hard_negatives(tmp_path: Path) -> None:
    enough, short = (
        record("one?", ["a"], [str(n) for n in range(31)]),
        record("two?", ["a"], [str(n) for n in range(29)]),
    )
    dataset = load_dataset(write_dpr(tmp_path / "dev.json", short, enough))
    assert dataset.queries == ["one?"]
    assert len(dataset.corpus) == 31
    assert dataset.notes == [
        f"1 questions left out, fewer than 30 hard negatives: first {tmp_path / 'dev.json'}:2",
    ]


@pytest.mark.parametrize("question", ["question", "questions", "query"])
@pytest.mark.parametrize("positives", ["positive_ctxs", "positive_contexts", "positive_ctx", "positive_context"])
@pytest.mark.parametrize(
    "negatives", ["hard_negative_ctxs", "hard_negative_contexts", "hard_negative_ctx", "hard_negative_context"]
)
def test_the_key_variants_that_haystack_reads(tmp_path: Path, question: str, positives: str, negatives: str) -> None:
    passages = [{"title": "t", "text": text, "psg_id": text} for text in "abc"]
    path = write_text(
        tmp_path / "dev.jsonl", json.dumps({question: "who?", positives: passages[:1], negatives: passages[1:]})
    )
    dataset = load_dataset(path, hard_negatives=2)
    assert dataset.queries == ["who?"]
    assert dataset.corpus[:] == [Passage("t", "a"), Passage("t", "b"), Passage("t", "c")]


def test_a_gzip_file_needs_no_other_name_than_its_content(tmp_path: Path) -> None:
    records = json.dumps([record("one?", ["a"], ["b"])])
    write_text(tmp_path / "dev.json", records, zipped=True)
    (tmp_path / "dev.json.gz").rename(tmp_path / "dev")
    assert load_dataset(tmp_path / "dev", hard_negatives=1).queries == ["one?"]


def test_no_hard_negatives_are_read_where_none_are_asked_for(tmp_path: Path) -> None:
    bare = {"question": "one?", "positive_ctxs": [{"title": None, "text": "a"}]}
    dataset = load_dataset(write_dpr(tmp_path / "dev.json", bare), hard_negatives=0)
    assert dataset.corpus[:] == [Passage(None, "a")]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"question": None}, "question is null; expected a text"),
        ({"question": " "}, "question is empty"),
        ({"positive_ctxs": "a"}, "positive_ctxs is no list of passages"),
        ({"positive_ctxs": [{"title": "t"}]}, "found the keys title; expected text"),
        ({"positive_ctxs": [{"title": 1, "text": "a"}]}, "the title of passage q2-p1 is 1"),
        ({"positive_ctxs": [{"title": "t", "text": None}]}, "the text of passage q2-p1 is None"),
        ({"positive_ctxs": [{"title": "t", "text": "\ud800"}]}, "lone surrogate"),
    ],
)
def test_a_wrong_dpr_record_is_reported_with_its_line(tmp_path: Path, wrong: dict[str, Any], problem: str) -> None:
    good, bad = record("one?", ["a"], ["b"]), record("two?", ["a"], ["b"]) | wrong
    path = write_text(tmp_path / "dev.jsonl", json_lines([good, bad]))
    with pytest.raises(DataError) as error:
        load_dataset(path, hard_negatives=1)
    assert str(error.value).startswith(f"{path}:2: ")
    assert problem in str(error.value)


def test_a_dpr_record_without_its_keys_is_reported(tmp_path: Path) -> None:
    path = write_dpr(tmp_path / "squad.json", {"data": []})
    with pytest.raises(DataError, match=r"squad\.json:2: found the keys data; expected question or query or questions"):
        load_dataset(path)


def test_questions_without_a_positive_are_counted_and_named(tmp_path: Path) -> None:
    path = write_dpr(tmp_path / "dev.json", record("one?", [], ["b"]), record("two?", ["a"], ["b"]))
    assert load_dataset(path, hard_negatives=1).notes == [f"1 questions left out, no positive: first {path}:2"]
    write_dpr(path, record("one?", [], ["b"]))
    with pytest.raises(
        DataError, match=r"no question is left \(1 questions left out, no positive: first .*dev\.json:2\)"
    ):
        load_dataset(path, hard_negatives=1)


# BEIR


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


# Passages, questions and answers


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
def test_wrong_answers_are_reported_with_file_and_line(tmp_path: Path, line: str, problem: str) -> None:
    passages = write_text(tmp_path / "psgs.tsv", "1\ttext\ttitle\n")
    questions = write_text(tmp_path / "qa.tsv", f"good\t['a']\n{line}\n")
    with pytest.raises(DataError) as error:
        load_dataset(passages, questions=questions)
    assert str(error.value).startswith(f"{questions}:2: ")
    assert problem in str(error.value)


def test_a_passage_row_with_too_few_fields_is_reported(tmp_path: Path) -> None:
    passages = write_text(tmp_path / "psgs.tsv", "1\ttext\ttitle\n2\ttext\n")
    with pytest.raises(DataError, match=r"psgs\.tsv:2: found 2 fields; expected 3"):
        load_dataset(passages, questions=write_text(tmp_path / "qa.tsv", "q\t['a']\n"))


def test_options_of_another_protocol_are_refused(tmp_path: Path) -> None:
    folder = write_library(tmp_path)
    dpr = write_dpr(tmp_path / "dev.json", record("one?", ["a"], ["b"]))
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
