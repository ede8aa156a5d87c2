"""Small labelled data for retrieval, and writers of the published file forms."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.passage_store import PassageStore

#: (title, text, questions that the passage answers).
LIBRARY: list[tuple[str, str, list[str]]] = [
    (
        "Lighthouse",
        "A lighthouse is a tower with a bright lamp that warns ships of rocks and shows them the way into a harbour.",
        ["What warns ships of rocks at night?"],
    ),
    (
        "Sourdough",
        "Sourdough bread rises by wild yeast and bacteria in a starter of flour and water, which makes it taste sour.",
        ["Why does sourdough bread taste sour?", "What makes bread rise without baker's yeast?"],
    ),
    (
        "Honey bee",
        "Honey bees tell each other where flowers are by a dance: its angle gives the direction, its length the way.",
        ["How do bees tell others where flowers are?"],
    ),
    (
        "Violin",
        "A violin has four strings, tuned in fifths, and is played with a bow of horsehair drawn across them.",
        ["How many strings does a violin have?"],
    ),
    (
        "Glacier",
        "A glacier is a body of ice that flows slowly downhill under its own weight and grinds valleys out of rock.",
        ["What grinds valleys out of rock?", "Why does a body of ice move downhill?"],
    ),
    (
        "Printing press",
        "The printing press with movable type let one workshop make thousands of pages a day and made books cheap.",
        ["What invention made books cheap?"],
    ),
    (
        "Tide",
        "The sea rises and falls twice a day because the moon and the sun pull on the water of the turning earth.",
        ["Why does the sea rise and fall twice a day?"],
    ),
    (
        "Vaccine",
        "A vaccine shows the immune system a harmless part of a germ, so that it knows the germ when it comes.",
        ["How does a vaccine prepare the immune system?"],
    ),
    (
        "Chess",
        "In chess the king is in check when it is attacked, and the game is lost when it cannot escape.",
        ["When is a game of chess lost?"],
    ),
    (
        "Volcano",
        "Lava that comes out of a volcano is melted rock; where gases cannot escape from it, the volcano explodes.",
        ["Why do some volcanoes explode?"],
    ),
    (
        "Compass",
        "The needle of a compass is a small magnet that turns until it points along the magnetic field to the north.",
        ["Why does a compass point north?"],
    ),
    (
        "Silk",
        "Silk is a thread spun by the caterpillar of a moth that feeds on mulberry leaves; a cocoon gives a mile.",
        ["Which animal spins silk?", "What do silkworms eat?"],
    ),
]


def library_corpus() -> list[dict[str, str]]:
    """The library's passages as BEIR writes them."""
    return [{"_id": f"d{i}", "title": title, "text": text} for i, (title, text, _) in enumerate(LIBRARY)]


def library_queries() -> tuple[list[dict[str, str]], list[tuple[str, str, int]]]:
    """The library's questions as BEIR writes them, and their judgments."""
    pairs = [(i, question) for i, (_, _, questions) in enumerate(LIBRARY) for question in questions]
    queries = [{"_id": f"q{n}", "text": question} for n, (_, question) in enumerate(pairs)]
    return queries, [(f"q{n}", f"d{i}", 1) for n, (i, _) in enumerate(pairs)]


def write_library(folder: Path, *, zipped: bool = False) -> Path:
    """Write the library as a BEIR folder."""
    queries, judgments = library_queries()
    return write_beir(folder, library_corpus(), queries, judgments, zipped=zipped)


def write_beir(
    folder: Path,
    corpus: Iterable[Mapping[str, Any]],
    queries: Iterable[Mapping[str, Any]],
    judgments: Iterable[tuple[str, str, int]],
    *,
    zipped: bool = False,
) -> Path:
    """Write corpus.jsonl, queries.jsonl and qrels/test.tsv, or the same with .gz."""
    rows = "".join(f"{query}\t{passage}\t{grade}\n" for query, passage, grade in judgments)
    write_text(folder / "corpus.jsonl", json_lines(corpus), zipped=zipped)
    write_text(folder / "queries.jsonl", json_lines(queries), zipped=zipped)
    write_text(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n" + rows, zipped=zipped)
    return folder


def json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def write_text(path: Path, text: str, *, zipped: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path = path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def corpus_of(passages: list[tuple[str, str]]) -> PassageStore:
    """A corpus of (title, text) passages."""
    corpus = PassageStore()
    corpus.begin_part(Path("none"))
    for line, (title, text) in enumerate(passages, start=1):
        corpus.add(str(line), title, text, line)
    return corpus


def dpr_records(count: int, *, positives: int = 2, hard_negatives: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """DPR training records over a small stock of passages: many are in several records, some twice in one."""
    chance = random.Random(seed)
    stock = [context(f"title {chance.randrange(9)}", sentence(chance), str(i)) for i in range(2 * count)]
    return [
        {
            "dataset": "small",
            "question": f"{sentence(chance, 5)}?",
            "answers": [sentence(chance, 1)],
            "positive_ctxs": chance.choices(stock, k=positives),
            "negative_ctxs": [],
            "hard_negative_ctxs": chance.choices(stock, k=hard_negatives),
        }
        for _ in range(count)
    ]


def dpr_record(question: str, positives: Sequence[str], negatives: Sequence[str]) -> dict[str, Any]:
    """A question as DPR writes it; positives have the title p, hard negatives n."""
    return {
        "question": question,
        "answers": ["x"],
        "positive_ctxs": [context("p", text, text) for text in positives],
        "negative_ctxs": [],
        "hard_negative_ctxs": [context("n", text, text) for text in negatives],
    }


def write_dpr(path: Path, *records: dict[str, Any]) -> Path:
    return write_text(path, json.dumps(list(records), indent=4))


def context(title: str, text: str, passage_id: str) -> dict[str, Any]:
    return {"title": title, "text": text, "score": 1000, "title_score": 1, "passage_id": passage_id}


_WORDS: Sequence[str] = "the of river city tower wrote first query who where when stone boat garden cloud paper".split()


def sentence(chance: random.Random, words: int = 12) -> str:
    return " ".join(chance.choices(_WORDS, k=words))
