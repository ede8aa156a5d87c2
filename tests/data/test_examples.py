"""What is read from training files, and what is said of records that cannot be used."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.examples import Example, read_examples, write_examples
from dpr_tiny_retriever.data.skipped_records import SkippedRecords

RECORD = {
    "question": "who wrote it",
    "answers": ["a tower"],
    "positive_ctxs": [{"title": "Title", "text": "a tower", "score": 3.5}, {"title": "", "text": "no title"}],
    "hard_negative_ctxs": [{"title": None, "text": "not it"}],
}
EXAMPLE = Example(
    "who wrote it",
    (Passage("Title", "a tower"), Passage(None, "no title")),
    (Passage(None, "not it"),),
    ("a tower",),
)


def written(path: Path, *lines: Any) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["train.json", "train.json.gz"])
def test_reads_an_array_of_dpr_records(tmp_path: Path, name: str) -> None:
    assert list(read_examples(written(tmp_path / name, [RECORD, RECORD]))) == [EXAMPLE, EXAMPLE]


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_reads_json_lines(tmp_path: Path, name: str) -> None:
    assert list(read_examples(written(tmp_path / name, RECORD, "", RECORD))) == [EXAMPLE, EXAMPLE]


@pytest.mark.parametrize(
    ("question", "positives", "negatives", "answers"),
    [
        ("query", "positive_contexts", "hard_negative_contexts", "answer"),
        ("questions", "positive_ctx", "hard_negative_ctx", "answers"),
        ("question", "positive_context", "hard_negative_context", "answer"),
    ],
)
def test_reads_the_names_that_haystack_reads(
    tmp_path: Path, question: str, positives: str, negatives: str, answers: str
) -> None:
    renamed = dict(zip((question, answers, positives, negatives), RECORD.values(), strict=True))
    assert list(read_examples(written(tmp_path / "train.json", [renamed]))) == [EXAMPLE]


def test_reads_a_question_with_one_passage(tmp_path: Path) -> None:
    path = written(tmp_path / "train.jsonl", {"question": "q", "title": "T", "text": "t", "id": 7})
    assert list(read_examples(path)) == [Example("q", (Passage("T", "t"),))]


def test_reads_the_judgments_of_a_beir_folder(tmp_path: Path) -> None:
    written(tmp_path / "corpus.jsonl", {"_id": "a", "title": "A", "text": "x"}, {"_id": "b", "title": "", "text": "y"})
    written(tmp_path / "queries.jsonl", {"_id": "q", "text": "what"}, {"_id": "r", "text": "who"})
    (tmp_path / "qrels").mkdir()
    written(tmp_path / "qrels" / "train.tsv", "query-id\tcorpus-id\tscore", "q\ta\t1", "r\tb\t2", "r\ta\t0")
    assert list(read_examples(tmp_path)) == [
        Example("what", (Passage("A", "x"),)),
        Example("who", (Passage(None, "y"),)),
    ]


def test_a_judged_passage_that_the_corpus_lacks_is_no_example(tmp_path: Path) -> None:
    written(tmp_path / "corpus.jsonl", {"_id": "a", "title": "A", "text": "x"}, {"_id": "b"})
    written(tmp_path / "queries.jsonl", {"_id": "q", "text": "what"}, {"_id": "r", "text": "who"})
    (tmp_path / "qrels").mkdir()
    written(tmp_path / "qrels" / "train.tsv", "q\ta\t1", "q\tgone\t1", "r\tb\t2")
    skipped = SkippedRecords()
    assert list(read_examples(tmp_path, skipped=skipped)) == [Example("what", (Passage("A", "x"),))]
    assert skipped.count == 1
    with pytest.raises(DataError, match=r"corpus\.jsonl:2: found the keys _id; expected text"):
        list(read_examples(tmp_path))


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"positive_ctxs": []}, "expected question"),
        ({"question": "  ", "positive_ctxs": []}, "question is empty"),
        ({"question": ["q"], "positive_ctxs": []}, "expected a text"),
        ({"question": "q", "positive_ctxs": []}, "positive_ctxs is empty"),
        ({"question": "q"}, "expected text or positive_ctxs"),
        ({"question": "q", "positive_ctxs": {"text": "t"}}, "is a dict; expected a list"),
        ({"question": "q", "positive_ctxs": [{"title": "t"}]}, "a NoneType; expected a text"),
        ({"question": "q", "positive_ctxs": [{"text": " "}]}, "empty; expected a text"),
        ({"question": "q", "positive_ctxs": [{"text": "t", "title": 3}]}, "title of positive_ctxs"),
        ({"question": "q", "positive_ctxs": ["t"]}, "expected an object"),
        ({"question": "q", "answers": 3, "positive_ctxs": [{"text": "t"}]}, "answers is no list"),
        ({"question": "q\ud800", "positive_ctxs": [{"text": "t"}]}, "lone surrogate U+D800"),
    ],
)
def test_a_broken_record_is_named_by_file_and_line(tmp_path: Path, record: Any, problem: str) -> None:
    path = written(tmp_path / "train.jsonl", RECORD, record)
    with pytest.raises(DataError) as caught:
        list(read_examples(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert problem in str(caught.value)


def test_broken_records_are_skipped_logged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "train.jsonl", RECORD, '{"question": ', [1], {"question": "q"}, RECORD)
    skipped = SkippedRecords()
    with caplog.at_level(logging.WARNING):
        assert list(read_examples(path, skipped=skipped)) == [EXAMPLE, EXAMPLE]
    assert skipped.count == 3
    assert [f"{path}:{line}: " in message for line, message in zip((2, 3, 4), caplog.messages, strict=True)] == [
        True
    ] * 3
    assert len(skipped.first) == 3


def test_examples_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path / "train.json", "[", json.dumps(RECORD) + ",", json.dumps(RECORD) + ",", '{"question": ')
    examples = read_examples(path, skipped=SkippedRecords())
    assert [next(examples), next(examples)] == [EXAMPLE, EXAMPLE]
    with pytest.raises(DataError, match=r"train\.json:4"):
        next(examples)


@pytest.mark.parametrize("name", ["mined.json", "mined.json.gz"])
def test_written_examples_are_read_back(tmp_path: Path, name: str) -> None:
    plain = Example("was für eine", (Passage(None, "t"),))
    assert write_examples(tmp_path / name, [EXAMPLE, plain]) == 2
    assert list(read_examples(tmp_path / name)) == [EXAMPLE, plain]


def test_an_interrupted_file_leaves_the_former_one(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Example]:
        yield EXAMPLE
        raise KeyboardInterrupt

    write_examples(tmp_path / "mined.json", [EXAMPLE, EXAMPLE])
    with pytest.raises(KeyboardInterrupt):
        write_examples(tmp_path / "mined.json", interrupted())
    assert list(read_examples(tmp_path / "mined.json")) == [EXAMPLE, EXAMPLE]


def test_no_examples_are_written_as_an_empty_array(tmp_path: Path) -> None:
    assert write_examples(tmp_path / "mined.json", []) == 0
    assert json.loads((tmp_path / "mined.json").read_text()) == []
