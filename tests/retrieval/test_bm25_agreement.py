"""The BM25 index ranks exactly as evaluation's BM25, on real text, whatever was added and deleted before."""

from __future__ import annotations

import random
from pydoc_data.topics import topics

import numpy as np
import pytest
from retrieval_data import corpus_of

from dpr_tiny_retriever.evaluation import BM25
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]

#: Lines of the language reference under their topic, each once, and questions cut from them.
LINES = list(
    dict.fromkeys((name, line.strip()) for name, text in topics.items() for line in text.split("\n") if line.strip())
)
WORDS = " ".join(text for _, text in LINES).split()


def questions(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    starts = [chance.randrange(len(WORDS) - 12) for _ in range(count)]
    return [
        "how why the unheardof",
        "",
        *(" ".join(WORDS[start : start + chance.randrange(1, 12)]) for start in starts),
    ]


def assert_same_ranking(index: BM25Index, held: dict[str, tuple[str, str]], seed: int) -> None:
    """held: the passages of the index in the order of adding."""
    asked = questions(60, seed)
    corpus = corpus_of(list(held.values()))
    every = BM25().rank(asked, corpus, corpus.unique_passages(), len(held)).hits
    ids = list(held)
    for question, rows, scores in zip(asked, every.rows, every.scores, strict=True):
        found = index.search(question, 100)
        expected = {ids[row]: score for row, score in zip(rows, scores, strict=True) if row >= 0}
        assert len(found.ids) == len(set(found.ids)) == min(100, len(expected))
        best = scores[: len(found.ids)]
        np.testing.assert_allclose(found.scores, best, rtol=1e-6, err_msg=question)
        np.testing.assert_allclose([expected[id] for id in found.ids], best, rtol=1e-6, err_msg=question)


def test_the_index_ranks_as_evaluation_does_after_adds_replacements_and_deletes() -> None:
    chance = random.Random(0)
    index, held = BM25Index(), {}
    waiting = {str(n): passage for n, passage in enumerate(LINES)}
    while waiting:
        batch = {id: waiting.pop(id) for id in list(waiting)[: chance.randrange(1, 3000)]}
        index.add(list(batch), list(batch.values()))
        held |= batch
    assert len(held) > 3 * 2048, "several blocks"
    assert_same_ranking(index, held, seed=1)

    gone = [id for number, id in enumerate(held) if number < 1800 or number % 7 == 0]
    assert index.delete(gone) == len(gone)
    held = {id: passage for id, passage in held.items() if id not in set(gone)}
    assert_same_ranking(index, held, seed=2)

    changed = {id: (f"{held[id][0]} again", held[id][1]) for id in chance.sample(sorted(held), 200)}
    index.add(list(changed), list(changed.values()))
    held = {id: passage for id, passage in held.items() if id not in changed} | changed
    assert index.ids() == list(held)
    assert_same_ranking(index, held, seed=3)
