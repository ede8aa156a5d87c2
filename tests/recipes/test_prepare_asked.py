"""Questions that people asked get the passages in which their answers may stand."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import prepare_asked
import pytest
from made_questions import made_question
from prepare_asked import ASKED, DEFINITIONS, GIVEN, KeptApart, definitions, given_pairs

pytestmark = pytest.mark.training

RIVER = "The river rises in the hills of the north and flows past nine old towns to the sea"
LIGHT = "Light bends where it passes from air into water because it is slower there"
BREAD = "Bread rises since yeast turns sugar into gas which the dough holds back"


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder whose sets are empty but for some."""
    given = {
        "boolq": [{"question": "does light bend?", "title": "Light", "text": LIGHT}],
        "nq-distant": [
            {"question": "where does it rise", "title": "River", "text": RIVER, "bm25_rank": rank, "coverage": cover}
            for rank, cover in ((1, 0.8), (2, 0.8), (1, 0.7))
        ],
        "medquad": [
            {"question": f"What is {name}?", "title": "", "text": f"{name} is an illness."} for name in "ABCDE"
        ],
    }
    for name in GIVEN:
        write(tmp_path / "train" / f"{name}.train.jsonl.gz", given.get(name, []))
    for name in ASKED:
        asked = [{"question": "where does  the river rise"}, {"question": "does yeast make bread rise?"}]
        write(tmp_path / "questions" / f"{name}.jsonl.gz", asked if name == "nq-train" else [])
    return tmp_path


def test_given_pairs_are_those_that_are_most_often_right(folder: Path) -> None:
    pairs = list(given_pairs(folder / "train", KeptApart(iter(()))))
    assert [(pair.set, pair.question) for pair in pairs] == [
        *[("medquad", "What is A?")] * 5,
        *[("medquad", "What is D?")] * 5,  # every third
        ("boolq", "does light bend?"),
        ("nq-distant", "where does it rise"),
    ]


def test_a_passage_with_twelve_words_in_a_row_of_an_evaluation_is_left_out(folder: Path) -> None:
    apart = KeptApart(iter(["It is said that l" + LIGHT[1:], BREAD]))
    assert [pair.set for pair in given_pairs(folder / "train", apart) if pair.set != "medquad"] == ["nq-distant"]
    eleven = " ".join(BREAD.split()[:11])
    assert not apart.touches(f"{eleven} and more of it")
    assert apart.touches(BREAD)
    assert not apart.touches(BREAD, share=1.0)


def test_a_question_gets_a_passage_that_was_found_for_it(folder: Path, teacher_directory: Path) -> None:
    texts = {"River": RIVER, "Light": LIGHT, "Bread": BREAD}
    passages = write(folder / "passages.jsonl.gz", [{"title": title, "text": text} for title, text in texts.items()])
    output = folder / "train.jsonl.gz"
    arguments = [folder, passages, output, "--teacher", teacher_directory, "--number", 2]
    prepare_asked.main(list(map(str, arguments)))
    with gzip.open(output, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    found = {record["question"].rstrip("?"): record["title"] for record in records if record["set"] == "nq-train"}
    # The two passages that most questions lead to are kept; of these the teacher chooses, who here was never trained.
    assert found.keys() == {"where does the river rise", "does yeast make bread rise"}
    assert set(found.values()) <= {"River", "Bread"}
    assert {record["set"] for record in records} == {"medquad", "boolq", "nq-distant", "nq-train", "made"}


def test_a_share_of_the_definitions_is_drawn(folder: Path) -> None:
    for name in DEFINITIONS:
        records = [{"question": f"what is {word}", "title": word, "text": f"{word}, a word"} for word in "abcdefgh"]
        write(folder / "train" / f"{name}.train.jsonl.gz", records if name == "def-jargon" else [])
    drawn = [
        [pair.question for pair in definitions(folder / "train", KeptApart(iter(())), share, random.Random(1))]
        for share in (0.0, 0.5, 1.0)
    ]
    assert drawn[0] == []
    assert 0 < len(drawn[1]) < len(drawn[2]) == 8


def test_a_second_passage_comes_where_it_is_nearly_as_close(folder: Path, teacher_directory: Path) -> None:
    asked = {"title": "", "text": "where does the river rise"}  # as the question, so that its cosine is 1
    passages = write(folder / "passages.jsonl.gz", [asked, asked, {"title": "Bread", "text": BREAD}])
    found = {}
    for option in ([], ["--second-best"]):
        output = folder / "train.jsonl.gz"
        prepare_asked.main([*map(str, [folder, passages, output, "--teacher", teacher_directory]), *option])
        with gzip.open(output, "rt", encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        found[bool(option)] = [record["set"] for record in records if record["text"] == asked["text"]]
    assert "nq-train" in found[False]
    assert "nq-train-second" not in found[False]
    assert "nq-train-second" in found[True]


def test_a_made_question_asks_for_what_was_left_out() -> None:
    questions = {
        made_question("Optics", "It was first described in 1021 by a scholar", random.Random(n)) for n in range(9)
    }
    assert all(
        question and question.replace("optics", "").strip().startswith(("when", "what year")) for question in questions
    )
    assert not any("1021" in question for question in questions if question)
    assert made_question("Optics", "Too short.", random.Random(0)) is None
