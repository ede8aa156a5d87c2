"""Turn the pairs that teacher vectors were computed for, and raw passages, into training data.

    python recipes/prepare_bundled.py DISTILL_FOLDER PASSAGES train.jsonl.gz

DISTILL_FOLDER holds texts.jsonl.gz (one {"kind": "query" or "passage", "title", "text"} a line), pairs.npy (int32
[n, 3]: set, query row, passage row, rows counted within each kind) and sets.json (the names of the sets). PASSAGES is
gzip'd JSON lines with title and text. One record a line is written: question, title, text, set. Some of the raw
passages get a question made from one of their sentences; others are cut to some 40 words from a sentence on, in the
fourth run to 15 to 130, and get two questions each. Pairs of questions that people asked come again at the end: they
are few beside the made ones.
--run names the run that it is for: each has questions and cuts of its own; --asked is for the last stage of each.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from made_questions import SENTENCE, made_question

#: Sets whose questions were made from their passages, given ones and ours; all others were asked by people.
_GIVEN_MADE, _MADE = ("ict", "section"), "made"


class Run(NamedTuple):
    """What belongs to one run."""

    whole: tuple[int, ...]  # of each six raw passages those that get a question as a whole
    cut: tuple[tuple[int, ...], ...]  # and those that are cut, in this order
    seed: int  # of the cuts and their questions
    copies: int  # how often MedQuAD's pairs come again
    thinned: int  # in the last stage, so many made questions are one
    windows: tuple[int, ...] = (35,)  # words: a cut has at least one of these, and at most _MORE of them more


_RUNS = {
    "first": Run(whole=(0,), cut=((1, 3), (2, 4)), seed=3, copies=5, thinned=10),
    "second": Run(whole=(), cut=((5,), (1,)), seed=5, copies=3, thinned=4),
    "third": Run(whole=(), cut=((3,), (0,)), seed=8, copies=3, thinned=4),
    "fourth": Run(whole=(), cut=((2,), (4,)), seed=13, copies=3, thinned=4, windows=(15, 25, 40, 60, 120)),
    # For the 12-layer pair: the first half of the cuts of the fourth.
    "deep": Run(whole=(), cut=((2,),), seed=13, copies=3, thinned=4, windows=(15, 25, 40, 60, 120)),
}
_OF = 6
_MORE, _LESS = 13, 5  # words that a window may have beyond its length, and that may lack behind its first sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("distill", type=Path)
    parser.add_argument("passages", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--run", choices=_RUNS, default="first", help="which run of the bundled pair it is for")
    parser.add_argument("--asked", action="store_true", help="asked questions once, and some of the made ones")
    parser.add_argument("--again", default="", help="a set whose pairs come once more behind the asked ones")
    options = parser.parse_args()
    run = _RUNS[options.run]
    pairs = [
        (record["set"], json.dumps(record, ensure_ascii=False) + "\n")
        for record in _records(options.distill, options.passages, run)
    ]
    asked = [pair for pair in pairs if pair[0] not in (*_GIVEN_MADE, _MADE)]
    if options.asked:
        made = [pair for pair in pairs if pair[0] in (*_GIVEN_MADE, _MADE)]
        pairs = [*asked, *(pair for pair in asked if pair[0] == options.again), *made[:: run.thinned]]
    else:
        pairs += [pair for pair in asked for _ in range(run.copies if pair[0] == "medquad" else 1)]
    with gzip.open(options.output, "wt", encoding="utf-8") as file:
        file.writelines(line for _, line in pairs)


def _records(distill: Path, passages: Path, run: Run) -> Iterator[dict[str, Any]]:
    seen = set()
    for record in itertools.chain(_pairs(distill), _made(passages, run)):
        key = record["question"], record["text"]
        if key not in seen:
            seen.add(key)
            yield record
    yield from _of_windows(passages, run)


def _pairs(folder: Path) -> Iterator[dict[str, Any]]:
    queries, passages = [], []
    with gzip.open(folder / "texts.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            (queries if record["kind"] == "query" else passages).append(record)
    names = json.loads((folder / "sets.json").read_text(encoding="utf-8"))
    for number, query, passage in np.load(folder / "pairs.npy").tolist():
        found = passages[passage]
        yield {"question": queries[query]["text"], "title": found["title"], "text": found["text"], "set": names[number]}


def _raw(path: Path, which: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Titles and texts of some of each six passages."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number % _OF in which:
                record = json.loads(line)
                yield record["title"], record["text"]


def _made(path: Path, run: Run) -> Iterator[dict[str, Any]]:
    draw = random.Random(0)
    for title, text in _raw(path, run.whole):
        question = made_question(title, text, draw)
        if question is not None:
            yield {"question": question, "title": title, "text": text, "set": _MADE}


def _of_windows(path: Path, run: Run) -> Iterator[dict[str, Any]]:
    draw = random.Random(run.seed)
    for title, text in itertools.chain.from_iterable(_raw(path, which) for which in run.cut):
        words = draw.choice(run.windows) if len(run.windows) > 1 else run.windows[0]
        window = _window(text, words, draw)
        for question in dict.fromkeys(made_question(title, window, draw) for _ in range(2)):
            if question is not None:
                yield {"question": question, "title": title, "text": window, "set": _MADE}


def _window(text: str, length: int, draw: random.Random) -> str:
    """Some sentences of the text, one after the other, of some such length in words."""
    sentences = SENTENCE.split(text)
    first = draw.randrange(len(sentences)) if draw.random() < 0.7 else 0
    while first and sum(len(sentence.split()) for sentence in sentences[first:]) < length - _LESS:
        first -= 1
    words: list[str] = []
    for sentence in sentences[first:]:
        words += sentence.split()
        if len(words) >= length:
            break
    return " ".join(words[: length + _MORE])


if __name__ == "__main__":
    main()
