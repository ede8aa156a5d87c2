"""DPR's dev file is read as it is published, and wrong records are reported with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from retrieval_data import (
    dpr_record,
    json_lines,
    write_dpr,
    write_text,
)

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.evaluation import DataError, load_dataset

pytestmark = pytest.mark.evaluation


def test_dpr_dev_takes_the_first_positive_and_the_first_hard_negatives_in_order(tmp_path: Path) -> None:
    path = write_dpr(
        tmp_path / "dev.json", dpr_record("one?", ["a", "b"], ["c", "d", "e"]), dpr_record("two?", ["c"], ["a", "a"])
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
        dpr_record("one?", ["a"], [str(n) for n in range(31)]),
        dpr_record("two?", ["a"], [str(n) for n in range(29)]),
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
    records = json.dumps([dpr_record("one?", ["a"], ["b"])])
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
        ({"positive_ctxs": [{"title": 1, "text": "a"}]}, "the title of a passage is 1"),
        ({"positive_ctxs": [{"title": "t", "text": None}]}, "the text of a passage is None"),
        ({"positive_ctxs": [{"title": "t", "text": "\ud800"}]}, "lone surrogate"),
    ],
)
def test_a_wrong_dpr_record_is_named_with_its_line_and_left_out(
    tmp_path: Path, wrong: dict[str, Any], problem: str
) -> None:
    good, bad = dpr_record("one?", ["a"], ["b"]), dpr_record("two?", ["a"], ["b"]) | wrong
    path = write_text(tmp_path / "dev.jsonl", json_lines([good, bad, good]))
    dataset = load_dataset(path, hard_negatives=1)
    assert (dataset.query_ids, len(dataset.corpus), dataset.relevant) == (["q1", "q3"], 4, [{0: 1}, {2: 1}])
    [note] = dataset.notes
    assert note.startswith(f"1 record left out: first {path}:2: ")
    assert problem in note
    write_text(path, json_lines([bad]))
    with pytest.raises(DataError, match=rf"no question is left \(1 record left out: first .*:1: .*{problem}"):
        load_dataset(path, hard_negatives=1)


def test_a_dpr_record_without_its_keys_is_reported(tmp_path: Path) -> None:
    path = write_dpr(tmp_path / "squad.json", {"data": []})
    with pytest.raises(DataError, match=r"squad\.json:2: found the keys data; expected question or query or questions"):
        load_dataset(path)


def test_questions_without_a_positive_are_counted_and_named(tmp_path: Path) -> None:
    path = write_dpr(tmp_path / "dev.json", dpr_record("one?", [], ["b"]), dpr_record("two?", ["a"], ["b"]))
    assert load_dataset(path, hard_negatives=1).notes == [f"1 questions left out, no positive: first {path}:2"]
    write_dpr(path, dpr_record("one?", [], ["b"]))
    with pytest.raises(
        DataError, match=r"no question is left \(1 questions left out, no positive: first .*dev\.json:2\)"
    ):
        load_dataset(path, hard_negatives=1)
