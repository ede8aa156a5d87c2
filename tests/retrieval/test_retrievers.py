"""BM25 and fusion give the figures of their formulas."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from retrieval_data import LIBRARY, sentence, write_beir, write_library

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.evaluation import BM25, Dataset, Dense, Hits, PassageStore, evaluate, load_dataset
from dpr_tiny_retriever.retrieval.fusion import blend, fuse
from dpr_tiny_retriever.retrieval.retrievers import STOP_WORDS, Ranking


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


def corpus_of(passages: list[tuple[str, str]]) -> PassageStore:
    corpus = PassageStore()
    corpus.begin_part(Path("none"))
    for line, (title, text) in enumerate(passages, start=1):
        corpus.add(str(line), title, text, line)
    return corpus


def test_words() -> None:
    assert BM25().tokenize("Who wrote the Émile-Zola_2 of 1885?") == ["wrote", "émile", "zola_2", "1885"]
    assert "who" in STOP_WORDS


def test_bm25_is_its_formula() -> None:
    chance = random.Random(0)
    passages = [(sentence(chance, 2), sentence(chance, chance.randrange(1, 20))) for _ in range(30)]
    corpus = corpus_of(passages)
    queries = [*(sentence(chance, 5) for _ in range(20)), "boat boat river", "nothing known here"]
    bm25 = BM25()
    distinct = corpus.distinct()
    hits = bm25.rank(queries, corpus, distinct, len(distinct.first)).hits
    documents = [bm25.tokenize(f"{corpus[int(row)].title} {corpus[int(row)].text}") for row in distinct.first]
    for query, rows, scores in zip(queries, hits.rows, hits.scores, strict=True):
        expected = np.array(formula(bm25.tokenize(query), documents, 0.9, 0.4))
        found = rows[rows >= 0]
        assert set(found.tolist()) == set(np.flatnonzero(expected).tolist())
        np.testing.assert_allclose(scores[: len(found)], expected[found], rtol=1e-4)
        assert np.all(np.diff(scores[: len(found)]) <= 0)


def test_a_passage_without_a_word_in_common_is_not_found() -> None:
    corpus = corpus_of([("", "river boat"), ("", "stone"), ("", "river")])
    hits = BM25().rank(["river", "unheard"], corpus, corpus.distinct(), 3).hits
    assert hits.rows.tolist() == [[2, 0, -1], [-1, -1, -1]]


def test_a_corpus_without_words_gives_nothing() -> None:
    corpus = corpus_of([("", "the"), ("", "...")])
    assert BM25().rank(["the river"], corpus, corpus.distinct(), 2).hits.rows.tolist() == [[-1, -1]]


def test_fusion_is_its_formula() -> None:
    def ranking(*rows: list[int]) -> Ranking:
        return Ranking(Hits(np.array(rows, np.int32), np.zeros((len(rows), len(rows[0])), np.float32)), {})

    fused = fuse([ranking([3, 1, 0], [0, 1, 2]), ranking([1, 2, -1], [-1, -1, -1])], 4).hits
    assert fused.rows.tolist() == [[1, 3, 2, 0], [0, 1, 2, -1]]
    expected = [1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63]
    np.testing.assert_allclose(fused.scores[0], expected, rtol=1e-6)
    # Passages 1 and 2 have changed places in the two lists: equal scores, the earlier row first.
    assert fuse([ranking([1, 2]), ranking([2, 1])], 2).hits.rows.tolist() == [[1, 2]]


def test_a_blend_is_its_formula() -> None:
    def ranking(rows: list[int], scores: list[float], cosine: bool = False) -> Ranking:
        return Ranking(Hits(np.array([rows], np.int32), np.array([scores], np.float32)), {}, cosine=cosine)

    dense, sparse = ranking([3, 1, 0], [-1, -2, -5]), ranking([1, 2, -1], [8, 4, -np.inf])
    blended = blend(dense, sparse, 4, dense_weight=0.6).hits
    assert blended.rows.tolist() == [[1, 3, 2, 0]]
    np.testing.assert_allclose(blended.scores[0], [0.6 * 0.75 + 0.4, 0.6, 0.4 / 2, 0], atol=1e-7)
    above = 0.5 * (np.exp((0.7 - 0.83) / 0.1) - np.exp((0.6 - 0.83) / 0.1))  # of two cosines, the first above the last
    near = blend(ranking([3, 1], [0.7, 0.6], True), ranking([1, 2], [8, 4]), 4, dense_weight=0.5).hits
    assert near.rows.tolist() == [[1, 3, 2, -1]]
    np.testing.assert_allclose(near.scores[0], [0.5 * (8 - 4) / 8, above, 0, -np.inf], atol=1e-7)
    ended = blend(ranking([3, 1], [0.7, 0.6], True), ranking([1, -1], [8, -np.inf]), 4, dense_weight=0.5).hits
    assert ended.rows.tolist() == [[1, 3, -1, -1]]
    np.testing.assert_allclose(ended.scores[0][:2], [0.5, above], atol=1e-7)
    nothing = ranking([-1, -1], [-np.inf, -np.inf])
    assert blend(nothing, sparse, 2).hits.rows.tolist() == [[1, 2]]
    assert blend(ranking([5], [2]), nothing, 1).hits.rows.tolist() == [[5]]
    with pytest.raises(ValueError, match=r"dense_weight is 1.5; expected 0 \(BM25 alone\) to 1"):
        blend(dense, sparse, 4, dense_weight=1.5)


def test_a_blend_counts_words_by_how_far_their_best_stands_above_its_fifth() -> None:
    nothing = [-1] * 4
    dense = Ranking(
        Hits(np.array([[5, 1, *nothing]], np.int32), np.array([[0.8, 0.7, *4 * [-np.inf]]], np.float32)),
        {},
        cosine=True,
    )
    sparse = Ranking(Hits(np.arange(6, dtype=np.int32)[None], np.array([[8, 7, 6, 6, 4, 2]], np.float32)), {})
    hits = blend(dense, sparse, 6, dense_weight=0.5).hits
    share = 0.5 * (8 - 4) / 8
    expected = {
        5: 0.5 * np.exp((0.8 - 0.83) / 0.1),
        1: 0.5 * np.exp((0.7 - 0.83) / 0.1) + share * 5 / 8,
        0: share * 6 / 8,
        2: share * 4 / 8,
        3: share * 4 / 8,
        4: share * 2 / 8,
    }
    assert hits.rows[0].tolist() == sorted(expected, key=lambda row: -expected[row])
    np.testing.assert_allclose(hits.scores[0], sorted(expected.values(), reverse=True), atol=1e-6)


def test_every_system_in_one_table(tmp_path: Path, minilm_directory: Path) -> None:
    encoder = DualEncoder.from_pretrained(minilm_directory)
    dataset = load_dataset(write_library(tmp_path))
    systems = [BM25(), Dense("MiniLM", encoder), Dense("again", encoder, metric="l2")]
    evaluation = evaluate(dataset, systems, fusion=True, blend_weight=0.5)
    assert [(result.name, result.kind) for result in evaluation.results] == [
        ("BM25", "bm25"),
        ("MiniLM", "dense"),
        ("again", "dense"),
        ("MiniLM + BM25", "fusion"),
        ("MiniLM + BM25, blended", "fusion"),
        ("again + BM25", "fusion"),
        ("again + BM25, blended", "fusion"),
    ]
    bm25, minilm, again, fused, blended, *_ = evaluation.results
    assert minilm.measures["hit@5"] == fused.measures["hit@5"] == blended.measures["hit@5"] == 1
    assert bm25.measures["hit@1"] > 0.8
    assert minilm.measures["hit@1"] > 0.8
    assert minilm.measures == again.measures  # unit vectors rank alike by cosine and L2


def test_equal_passages_share_their_ranks_in_every_system(tmp_path: Path, minilm_directory: Path) -> None:
    """The same passage thrice: the copies follow each other in the order of the corpus."""
    title, text, (question, *_) = LIBRARY[0]
    copy = {"title": title, "text": text}
    corpus = [{"_id": "a", "title": "x", "text": "something else"}, *({"_id": name} | copy for name in "bcd")]
    folder = write_beir(tmp_path, corpus, [{"_id": "q", "text": question}], [("q", "d", 1)])
    dataset: Dataset = load_dataset(folder)
    dense = Dense("MiniLM", DualEncoder.from_pretrained(minilm_directory))
    for result in evaluate(dataset, [BM25(), dense], fusion=True).results:
        assert result.hits.rows[0, :3].tolist() == [1, 2, 3]
        assert result.first_ranks.tolist() == [3]


def test_bm25_on_a_long_list_of_queries_is_done_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(write_library(tmp_path))
    whole = evaluate(dataset, [BM25()]).results[0]
    monkeypatch.setattr("dpr_tiny_retriever.retrieval.retrievers._SCORES_AT_ONCE", 20)
    parts = evaluate(dataset, [BM25()]).results[0]
    np.testing.assert_array_equal(whole.hits.rows, parts.hits.rows)
    assert whole.measures == parts.measures
