"""Turn the pairs that teacher vectors were computed for, and raw passages, into training data.

    python recipes/prepare_bundled.py DISTILL_FOLDER PASSAGES train.jsonl.gz

DISTILL_FOLDER holds texts.jsonl.gz (one {"kind": "query" or "passage", "title", "text"} a line), pairs.npy (int32
[n, 3]: set, query row, passage row, rows counted within each kind) and sets.json (the names of the sets). PASSAGES is
gzip'd JSON lines with title and text. One record a line is written: question, title, text, set. Pairs of questions
that people asked are written twice; each raw passage of an even sample gets a question made from one of its sentences.
--asked leaves all but those that people asked out, and writes each once.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: Sets whose questions were made from their passages; all others were asked by people.
_MADE = ("ict", "section")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"(])")
_YEAR, _NUMBER = re.compile(r"\d{3,4}"), re.compile(r"[\d,.]*\d[\d,.]*")
_ASKS = {"year": ("when", "what year"), "number": ("how many", "how much"), "name": ("who", "what", "which", "where")}
_FUNCTION_WORDS = frozenset(
    "a an the and or but of in on at by for with to from as is are was were be been its it their his her this that "
    "these those which also has have had not".split()
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("distill", type=Path)
    parser.add_argument("passages", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--every", type=int, default=6, help="take one of so many raw passages")
    parser.add_argument("--asked", action="store_true", help="write only the questions that people asked")
    options = parser.parse_args()
    records: Iterable[dict[str, Any]] = itertools.chain(_pairs(options.distill), _made(options.passages, options.every))
    if options.asked:
        records = _asked(records)
    with gzip.open(options.output, "wt", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _pairs(folder: Path) -> Iterator[dict[str, Any]]:
    queries, passages = [], []
    with gzip.open(folder / "texts.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            (queries if record["kind"] == "query" else passages).append(record)
    names = json.loads((folder / "sets.json").read_text(encoding="utf-8"))
    for number, query, passage in np.load(folder / "pairs.npy").tolist():
        found = passages[passage]
        pair = {"question": queries[query]["text"], "title": found["title"], "text": found["text"]}
        yield from [{**pair, "set": names[number]}] * (1 if names[number] in _MADE else 2)


def _asked(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen = set()
    for record in records:
        key = record["question"], record["text"]
        if record["set"] not in (*_MADE, "made") and key not in seen:
            seen.add(key)
            yield record


def _made(path: Path, every: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(0)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in itertools.islice(file, 0, None, every):
            record = json.loads(line)
            question = _question(record["title"], record["text"], draw)
            if question is not None:
                yield {"question": question, "title": record["title"], "text": record["text"], "set": "made"}


def _question(title: str, text: str, draw: random.Random) -> str | None:
    """A question without grammar: words around a name or number of one sentence, which an asking word replaces."""
    sentences = [sentence.split() for sentence in _SENTENCE.split(text)]
    sentences = [words for words in sentences if len(words) >= 6]
    if not sentences:
        return None
    words = draw.choice(sentences)
    named = [at for at, word in enumerate(words) if _kind(word, at)]
    at = draw.choice(named) if named else draw.randrange(len(words))
    ask = draw.choice(_ASKS[_kind(words[at], at) or "name"])
    end = at + 1
    while end < len(words) and at and words[end][:1].isupper():
        end += 1
    before = draw.randint(2, 8)
    kept = [*words[max(at - before, 0) : at], *words[end : end + draw.randint(3, 9)]]
    kept = [word for word in kept if word.lower() not in _FUNCTION_WORDS or draw.random() < 0.5]
    if draw.random() < 0.4:
        kept.insert(draw.choice((0, len(kept))), title)
    cleaned = re.sub(r"[^\w\s'-]", " ", " ".join([ask, *kept])).lower()
    return " ".join(cleaned.split())


def _kind(word: str, at: int) -> str | None:
    bare = word.strip(".,;:()\"'")
    if _YEAR.fullmatch(bare):
        return "year"
    if _NUMBER.fullmatch(bare):
        return "number"
    return "name" if at and bare[:1].isupper() else None


if __name__ == "__main__":
    main()
