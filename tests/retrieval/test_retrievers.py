"""BM25 is its formula, and dense retrieval, BM25 and their fusions are evaluated side by side."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from retrieval_data import LIBRARY, corpus_of, sentence, write_beir, write_library

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.evaluation import BM25, Dataset, Dense, evaluate, load_dataset
from dpr_tiny_retriever.retrieval.bm25_words import bm25_words, passage_words

pytestmark = [pytest.mark.also_lowest, pytest.mark.evaluation]


def formula(query: list[str], documents: list[list[str]], k1: float, b: float) -> list[float]:
    """BM25 in Lucene's form (Kamphuis et al. 2020): no factor k1 + 1, never a negative weight."""
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        counts, score = Counter(document), 0.0
        for word in query:
            having = sum(word in other for other in documents)
            weight = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            score += weight * counts[word] / (counts[word] + k1 * (1 - b + b * len(document) / average))
        scores.append(score)
    return scores


def test_bm25_is_its_formula() -> None:
    chance = random.Random(0)
    passages = [(sentence(chance, 2), sentence(chance, chance.randrange(1, 20))) for _ in range(30)]
    corpus = corpus_of(passages)
    queries = [*(sentence(chance, 5) for _ in range(20)), "boat boat river", "nothing known here"]
    bm25 = BM25()
    unique = corpus.unique_passages()
    hits = bm25.rank(queries, corpus, unique, len(unique.first)).hits
    documents = [passage_words(corpus[int(row)].title, corpus[int(row)].text) for row in unique.first]
    for query, rows, scores in zip(queries, hits.rows, hits.scores, strict=True):
        expected = np.array(formula(bm25_words(query), documents, 0.9, 0.4))
        found = rows[rows >= 0]
        assert set(found.tolist()) == set(np.flatnonzero(expected).tolist())
        np.testing.assert_allclose(scores[: len(found)], expected[found], rtol=1e-4)
        assert np.all(np.diff(scores[: len(found)]) <= 0)


def test_a_passage_that_shares_no_word_with_the_query_is_not_found() -> None:
    corpus = corpus_of([("", "river boat"), ("", "stone"), ("", "river")])
    hits = BM25().rank(["river", "unheard"], corpus, corpus.unique_passages(), 3).hits
    assert hits.rows.tolist() == [[2, 0, -1], [-1, -1, -1]]


def test_bm25_finds_nothing_in_a_corpus_without_words() -> None:
    corpus = corpus_of([("", "the"), ("", "...")])
    assert BM25().rank(["the river"], corpus, corpus.unique_passages(), 2).hits.rows.tolist() == [[-1, -1]]


def test_retrievers_and_their_fusions_in_one_evaluation(tmp_path: Path, minilm_directory: Path) -> None:
    encoder = DualEncoder.from_pretrained(minilm_directory)
    dataset = load_dataset(write_library(tmp_path))
    retrievers = [BM25(), Dense("MiniLM", encoder), Dense("again", encoder, metric="l2")]
    evaluation = evaluate(dataset, retrievers, fusion=True, blend=True)
    assert [(result.name, result.kind) for result in evaluation.results] == [
        ("BM25", "bm25"),
        ("MiniLM", "dense"),
        ("again", "dense"),
        ("MiniLM + BM25, by rank", "fusion"),
        ("MiniLM + BM25, blended", "blend"),
        ("again + BM25, by rank", "fusion"),
        ("again + BM25, blended", "blend"),
    ]
    bm25, minilm, again, fused, blended, *_ = evaluation.results
    assert minilm.measures["hit@5"] == fused.measures["hit@5"] == blended.measures["hit@5"] == 1
    assert bm25.measures["hit@1"] > 0.8
    assert minilm.measures["hit@1"] > 0.8
    assert minilm.measures == again.measures  # unit vectors rank alike by cosine and L2


def test_duplicates_follow_each_other_in_every_ranking(tmp_path: Path, minilm_directory: Path) -> None:
    """The same passage three times: the copies are ranked in the order of the corpus."""
    title, text, (question, *_) = LIBRARY[0]
    copy = {"title": title, "text": text}
    corpus = [{"_id": "a", "title": "x", "text": "something else"}, *({"_id": name} | copy for name in "bcd")]
    folder = write_beir(tmp_path, corpus, [{"_id": "q", "text": question}], [("q", "d", 1)])
    dataset: Dataset = load_dataset(folder)
    dense = Dense("MiniLM", DualEncoder.from_pretrained(minilm_directory))
    for result in evaluate(dataset, [BM25(), dense], fusion=True, blend=True).results:
        assert result.hits.rows[0, :3].tolist() == [1, 2, 3]
        assert result.first_ranks.tolist() == [3]


def test_bm25_gives_the_same_ranking_in_blocks_of_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(write_library(tmp_path))
    whole = evaluate(dataset, [BM25()]).results[0]
    monkeypatch.setattr("dpr_tiny_retriever.retrieval.retrievers.SCORES_PER_BLOCK", 20)
    parts = evaluate(dataset, [BM25()]).results[0]
    np.testing.assert_array_equal(whole.hits.rows, parts.hits.rows)
    assert whole.measures == parts.measures
