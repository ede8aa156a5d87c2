"""Train a tiny pair from nothing on Python's own documentation, and see it find held-out questions' passages.

    python examples/train_tiny_pair.py

The passages are paragraphs of the topics that Python's help() shows. A question is made of a few words of its passage;
some are trained on, others are asked afterwards. Takes less than a minute on two cores.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.training import (
    Batches,
    Contrastive,
    Losses,
    NewModel,
    Optimizer,
    Regularization,
    Schedule,
    Settings,
    TrainingData,
    new_pair,
    train,
)

PASSAGES = 400
WORDS_OF_A_QUESTION = 6
#: What the trained pair reaches: the share of held-out questions whose passage comes first.
EXPECTED_HIT_RATE = 0.85


def main(tokenizer_from: str | None = None) -> float:
    """Train and ask; tokenizer_from is a model whose vocabulary is used, the bundled pair's by default."""
    passages = paragraphs()[:PASSAGES]
    rng = random.Random(0)
    asked = [question(passage, rng) for passage in passages]
    with tempfile.TemporaryDirectory() as folder:
        data, output = Path(folder) / "train.jsonl", Path(folder) / "pair"
        with data.open("w", encoding="utf-8") as file:
            for passage in passages * 20:
                record = {"question": question(passage, rng), "title": passage.title, "text": passage.text}
                file.write(json.dumps(record) + "\n")
        start = new_pair(NewModel(tokenizer_from=tokenizer_from, layers=2, width=64, heads=2, word_embeddings="random"))
        settings = Settings(
            schedule=Schedule(steps=250),
            optimizer=Optimizer(learning_rate=0.01),
            batches=Batches(size=64, hard_negatives=0, max_query_length=24, max_passage_length=64),
            regularization=Regularization(dropout=0.0),
            losses=Losses(contrastive=Contrastive(symmetric=True)),
        )
        train(TrainingData([data]), output, start=start, settings=settings)
        trained = DualEncoder.from_pretrained(output)
        before, after = (hit_rate(pair, passages, asked) for pair in (start, trained))
    print(
        f"{len(asked)} held-out questions, {len(passages)} passages: hit@1 {before:.3f} untrained, {after:.3f} trained"
    )
    return after


def paragraphs() -> list[Passage]:
    """Paragraphs of plain words, each with the first line of its topic for a title."""
    found: dict[str, Passage] = {}
    for topic in topics.values():
        title = topic.strip().splitlines()[0].strip('" ')
        for paragraph in topic.split("\n\n"):
            text = " ".join(paragraph.split())
            if len(re.findall(r"[a-z]{3,}", text)) >= 30:
                found.setdefault(text, Passage(title, text))  # topics share paragraphs
    return list(found.values())


def question(passage: Passage, rng: random.Random) -> str:
    """A few longer words of the beginning of a passage."""
    words = sorted(set(re.findall(r"[a-z]{4,}", passage.text.lower()[:300])))
    return "what of " + " ".join(rng.sample(words, min(WORDS_OF_A_QUESTION, len(words))))


def hit_rate(pair: DualEncoder, passages: list[Passage], asked: list[str]) -> float:
    """The share of questions whose passage, at the same place in the list, is the nearest."""
    scores = pair.encode_queries(asked) @ pair.encode_passages(passages).T
    return float(np.mean(scores.argmax(axis=1) == np.arange(len(asked))))


if __name__ == "__main__":
    main(*sys.argv[1:])
