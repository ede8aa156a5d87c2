"""Find passages for questions that people asked, and join them with pairs that were given: data for asked.yaml.

    python recipes/prepare_asked.py DATA PASSAGES train.jsonl.gz --teacher MODEL --kept-apart EVAL_FOLDER

DATA holds train/NAME.train.jsonl.gz (question, title, text; distant pairs have bm25_rank and coverage too) and
questions/NAME.jsonl.gz (question). PASSAGES is gzip'd JSON lines with title and text. For each question the bundled
pair and BM25 together find a few passages; those that most questions lead to are kept, and of a question's the one
that the teacher likes best is its passage (--second-best: the next one too, where the teacher likes it nearly as
well). Some passages get a question by rule as well; --definitions adds definitions of rare words. One record a line is
written: question, title, text, set. No passage is written that shares twelve words in a row with one of EVAL_FOLDER.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from made_questions import made_question

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

#: Sets of given pairs, and how often each pair comes.
GIVEN = {"clapnq-matched": 3, "clapnq-train": 2, "medquad": 5} | dict.fromkeys(
    (
        "boolq-v6 title-lead boolq selqa distant-nq-train distant-efficientqa distant-ambignq-rewrites "
        "distant-webquestions nq-distant ambignq-distant webq-distant squad-train-nqg distant-trivia "
        "distant-opentrivia title-vital"
    ).split(),
    1,
)
#: Of these sets every third pair.
THINNED = ("medquad", "distant-opentrivia", "title-vital")
#: Sets of questions without passages, and what a question counts when passages are chosen: most what people search for.
ASKED = dict.fromkeys(("nq-train", "efficientqa", "webquestions", "mimics", "ambignq-rewrites", "tydi-en"), 1.0) | {
    "wellformed": 0.5,
    "trivia": 0.4,
    "hotpot": 0.4,
    "qald": 0.5,
    "strategyqa": 0.3,
}
#: Data sets of definitions, of which --definitions is the sampling rate.
DEFINITIONS = ("def-wordnet", "def-foldoc", "def-jargon", "def-vera")
#: Sets whose questions tell much, so that a passage of little likeness cannot be right.
LONG_QUESTIONS = ("trivia", "hotpot", "strategyqa")

_FOUND, _VOTES = 6, (1, 0.5, 0.35)
_LEAST_COSINE, _LEAST_OF_LONG = 0.45, 0.55
_LEAST_OF_SECOND, _LARGEST_GAP = 0.55, 0.06
_MADE, _WITHOUT_MARK = 0.45, 0.6
_TOKENS = 96  # of a passage, for the search and for the teacher
_ROW = 12  # words
_WORD = re.compile(r"\w+")


class Text(NamedTuple):
    """A passage of the training data."""

    title: str
    text: str


class Pair(NamedTuple):
    """A question and its passage."""

    set: str
    question: str
    passage: Text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("passages", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--teacher", required=True, help="a model: its folder")
    parser.add_argument("--kept-apart", type=Path, action="append", default=[], help="a corpus.jsonl.gz of evaluation")
    parser.add_argument("--number", type=int, default=18_000, help="of PASSAGES that are kept")
    parser.add_argument("--second-best", action="store_true", help="a second passage for what people search for")
    parser.add_argument("--definitions", type=float, default=0.0, help="the share of the definitions that is taken")
    options = parser.parse_args(arguments)
    draw = random.Random(1)
    apart = KeptApart(text for path in options.kept_apart for _, text in _passages(path))
    given = [
        *given_pairs(options.data / "train", apart),
        *definitions(options.data / "train", apart, options.definitions, draw),
    ]
    passages = [passage for passage in _passages(options.passages) if not apart.touches(passage.text)]
    teacher = Encoder.from_pretrained(options.teacher, side="passage", max_length=_TOKENS)
    asked = questions(options.data / "questions")
    found = list(found_pairs(asked, passages, options.number, teacher, second_best=options.second_best))
    texts = dict.fromkeys(pair.passage for pair in (*given, *found))
    made = [Pair("made", question, text) for text in texts if (question := _made(text, draw))]
    with gzip.open(options.output, "wt", encoding="utf-8") as file:
        for pair in (*given, *found, *made):
            record = {"question": _as_typed(pair, draw), **pair.passage._asdict(), "set": pair.set}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


class KeptApart:
    """Texts of which no training passage may hold twelve words in a row."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._rows = {row for text in texts for row in _rows(text)}

    def touches(self, text: str, *, share: float = 0.0) -> bool:
        """Whether more than this share of the text's rows of words stand in those texts."""
        rows = _rows(text)
        return len(rows & self._rows) > share * len(rows)


def given_pairs(folder: Path, apart: KeptApart) -> Iterator[Pair]:
    """The given pairs that can be used; health pages share whole paragraphs, so that more than half must differ."""
    for name, copies in GIVEN.items():
        for number, record in enumerate(_records(folder / f"{name}.train.jsonl.gz")):
            is_right = "distant" not in name or (record["bm25_rank"] <= 1 and record["coverage"] >= 0.75)
            if not is_right or (name in THINNED and number % 3):
                continue
            if not apart.touches(record["text"], share=0.5 if name == "medquad" else 0.0):
                passage = Text(record.get("title") or "", record["text"])
                yield from [Pair(name, " ".join(record["question"].split()), passage)] * copies


def definitions(folder: Path, apart: KeptApart, share: float, draw: random.Random) -> Iterator[Pair]:
    """Sample this share of the definitions."""
    for name in DEFINITIONS if share else ():
        for record in _records(folder / f"{name}.train.jsonl.gz"):
            if draw.random() < share and not apart.touches(record["text"]):
                yield Pair(name, " ".join(record["question"].split()), Text(record.get("title") or "", record["text"]))


def questions(folder: Path) -> dict[str, str]:
    """The set of each question without a passage."""
    found: dict[str, str] = {}
    for name in ASKED:
        for record in _records(folder / f"{name}.jsonl.gz"):
            found.setdefault(" ".join(record["question"].split()), name)
    return found


def found_pairs(
    asked: dict[str, str], passages: list[Text], number: int, teacher: Encoder, *, second_best: bool
) -> Iterator[Pair]:
    """Each question with the passage that the teacher likes best, of those that the bundled pair and BM25 find.

    With second_best also with the next one, where what people search for is nearly as close to it.
    """
    student = DualEncoder.from_pretrained(max_passage_length=_TOKENS)
    votes: dict[int, float] = collections.defaultdict(float)
    found = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        PassageIndex.create(Path(folder) / "passages.sqlite", student) as index,
    ):
        index.add(IndexedPassage(str(row), *passage) for row, passage in enumerate(passages))
        for question, name in asked.items():
            found[question] = [int(hit.passage.id) for hit in index.search(question, _FOUND)]
            for row, vote in zip(found[question], _VOTES, strict=False):
                votes[row] += vote * ASKED[name]
    kept = sorted(votes, key=lambda row: (-votes[row], row))[:number]
    places = {row: place for place, row in enumerate(kept)}
    of_passages = teacher.encode([passages[row] for row in kept])  # [p, t]
    of_questions = teacher.encode(list(asked))  # [q, t]
    for (question, name), vector in zip(asked.items(), of_questions, strict=True):
        rows = found[question]
        if not rows or rows[0] not in places:
            continue
        candidates = [places[row] for row in rows if row in places]
        cosines = of_passages[candidates] @ vector
        best, *others = np.argsort(-cosines)
        if cosines[best] < (_LEAST_OF_LONG if name in LONG_QUESTIONS else _LEAST_COSINE):
            continue
        yield Pair(name, question, passages[kept[candidates[best]]])
        least = max(_LEAST_OF_SECOND, cosines[best] - _LARGEST_GAP)
        if second_best and ASKED[name] == 1.0 and others and cosines[others[0]] >= least:
            yield Pair(f"{name}-second", question, passages[kept[candidates[others[0]]]])


def _made(text: Text, draw: random.Random) -> str | None:
    """A question of some of the passages."""
    return made_question(*text, draw) if draw.random() < _MADE else None


def _as_typed(pair: Pair, draw: random.Random) -> str:
    """The question, most often without its question mark, as people type it; those on health are all alike."""
    bare = pair.question.rstrip(" ?")
    return bare if bare and pair.set != "medquad" and draw.random() < _WITHOUT_MARK else pair.question


def _rows(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + _ROW]) for at in range(len(words) - _ROW + 1)}


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _passages(path: Path) -> Iterator[Text]:
    for record in _records(path):
        yield Text(record.get("title") or "", record["text"])


if __name__ == "__main__":
    main()
