"""The blend that evaluation measures is what a passage index finds."""

from __future__ import annotations

import random
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
from retrieval_data import write_beir

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.evaluation import BM25, Dense, evaluate, load_dataset
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]

KS = (1, 5, 20, 100, 150)


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 paragraphs of the language reference, some of them twice, and questions made of words from them."""
    chance = random.Random(3)
    paragraphs = [(name, " ".join(part.split())) for name, text in topics.items() for part in text.split("\n\n")]
    chosen = chance.sample([(name, text) for name, text in paragraphs if len(text) > 80], 380)
    passages = [*chosen, *chosen[:20]]
    corpus = [{"_id": f"d{n}", "title": title, "text": text} for n, (title, text) in enumerate(passages)]
    queries, judgments = [], []
    for n in range(60):
        words = passages[n][1].split()
        start = chance.randrange(len(words))
        queries.append({"_id": f"q{n}", "text": " ".join([*words[start : start + 3], chance.choice(words)])})
        judgments.append((f"q{n}", f"d{n}", 1))
    return write_beir(tmp_path_factory.mktemp("beir"), corpus, queries, judgments)


@pytest.mark.parametrize("metric", [None, "l2"])
def test_hits_of_the_blend_are_those_of_the_index(beir: Path, tmp_path: Path, metric: str | None) -> None:
    encoder = DualEncoder.from_pretrained()
    dataset = load_dataset(beir)
    dense = Dense("pair", encoder, metric=metric, index="exact")
    result = evaluate(dataset, [BM25(), dense], ks=KS, blend=True).results[-1]
    assert (result.name, result.kind) == ("pair + BM25, blended", "blend")

    ids = [dataset.corpus.passage_id(row) for row in range(len(dataset.corpus))]
    passages = [IndexedPassage(id, one.title or "", one.text) for id, one in zip(ids, dataset.corpus, strict=True)]
    assert dataset.relevant is not None
    with PassageIndex(tmp_path / "index", encoder) as index:
        index.add(passages)
        for k in KS:
            found = [[hit.passage.id for hit in index.search(question, k)] for question in dataset.queries]
            hits = [
                any(ids[row] in some for row in relevant)
                for some, relevant in zip(found, dataset.relevant, strict=True)
            ]
            assert result.measures[f"hit@{k}"] == pytest.approx(np.mean(hits)), k
            if k == 100:
                assert found == [[ids[row] for row in rows if row >= 0] for rows in result.hits.rows]
    assert 0.3 < result.measures["hit@1"] < 1
