"""Each protocol gives the figures of an independent computation on the same files."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from retrieval_data import dpr_record, dpr_records, sentence, write_beir, write_dpr, write_text

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.evaluation import BM25, Dense, Result, evaluate, load_dataset

pytestmark = pytest.mark.evaluation

KS = (1, 5, 10, 20, 50)


@pytest.fixture(scope="module")
def encoder(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory)


def ranked(
    encoder: DualEncoder, queries: list[str], passages: list[tuple[str, str]], similarity: str
) -> NDArray[np.int64]:
    """All passages for each query, nearest first, equal ones in corpus order; each text is encoded once."""
    texts = list(dict.fromkeys(passages))
    vectors = dict(zip(texts, encoder.encode_passages(texts).astype(np.float64), strict=True))
    p = np.stack([vectors[passage] for passage in passages])
    q = encoder.encode_queries(queries).astype(np.float64)
    if similarity == "cosine":
        p /= np.linalg.norm(p, axis=1, keepdims=True)
        q /= np.linalg.norm(q, axis=1, keepdims=True)
    scores = np.stack([-((p - one) ** 2).sum(1) if similarity == "l2" else p @ one for one in q])
    return np.argsort(-scores, axis=1, kind="stable")


def single(result: Any) -> Result:
    assert len(result.results) == 1
    found: Result = result.results[0]
    return found


@pytest.mark.parametrize("similarity", ["l2", "cosine"])
def test_with_exact_dot_every_similarity_has_the_figures_of_the_dot_product(
    tmp_path: Path, encoder: DualEncoder, pair_directory: Path, similarity: Any
) -> None:
    data = load_dataset(
        write_text(tmp_path / "dev.json", json.dumps(dpr_records(25, hard_negatives=4))), hard_negatives=4
    )
    exact = DualEncoder.from_pretrained(pair_directory, exact_dot=True)
    by_dot = single(evaluate(data, [Dense("dot", encoder, metric="dot")], ks=KS))
    found = single(evaluate(data, [Dense("exact", exact, metric=similarity)], ks=KS))
    np.testing.assert_array_equal(found.first_ranks, by_dot.first_ranks)


@pytest.mark.parametrize("similarity", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("hard_negatives", [3, 4])
def test_dpr_dev_ranks_the_positive_of_each_question(
    tmp_path: Path, encoder: DualEncoder, similarity: Any, hard_negatives: int
) -> None:
    records = dpr_records(25, hard_negatives=4, seed=hard_negatives) + dpr_records(3, hard_negatives=2)
    path = write_text(tmp_path / "dev.json", json.dumps(records))
    kept = [record for record in records if len(record["hard_negative_ctxs"]) >= hard_negatives]
    passages = [
        (context["title"], context["text"])
        for record in kept
        for context in [record["positive_ctxs"][0], *record["hard_negative_ctxs"][:hard_negatives]]
    ]
    assert len(set(passages)) < len(passages) == 25 * (1 + hard_negatives)
    rows = ranked(encoder, [record["question"] for record in kept], passages, similarity)
    ranks = [int(np.flatnonzero(rows[i] == i * (1 + hard_negatives))[0]) + 1 for i in range(len(kept))]

    dataset = load_dataset(path, hard_negatives=hard_negatives)
    result = single(evaluate(dataset, [Dense("pair", encoder, metric=similarity)], ks=KS))
    assert result.first_ranks.tolist() == ranks
    for k in KS:
        assert result.measures[f"hit@{k}"] == pytest.approx(np.mean([rank <= k for rank in ranks]))
        assert result.measures[f"recall@{k}"] == result.measures[f"hit@{k}"]
    assert result.measures["mrr@10"] == pytest.approx(np.mean([1 / rank if rank <= 10 else 0 for rank in ranks]))


def test_of_equal_passages_only_the_questions_own_counts(tmp_path: Path, encoder: DualEncoder) -> None:
    """Two questions with the same positive: the second copy in the corpus is ranked second."""
    same = {"title": "the tower", "text": "who wrote the first passage"}
    other = {"title": "", "text": "river"}
    records = [
        {"question": "who wrote", "positive_ctxs": [same], "hard_negative_ctxs": [other]},
        {"question": "who wrote", "positive_ctxs": [same], "hard_negative_ctxs": [other]},
    ]
    dataset = load_dataset(write_text(tmp_path / "dev.json", json.dumps(records)), hard_negatives=1)
    ranks = single(evaluate(dataset, [Dense("pair", encoder, metric="l2")])).first_ranks.tolist()
    assert ranks in ([1, 2], [3, 4])


def test_beir_counts_judged_passages(tmp_path: Path, encoder: DualEncoder) -> None:
    chance = random.Random(5)
    corpus = [{"_id": f"d{i}", "title": "", "text": sentence(chance, chance.randrange(1, 12))} for i in range(80)]
    queries = [{"_id": f"q{i}", "text": sentence(chance, 4)} for i in range(12)]
    grades = {f"q{i}": {f"d{j}": chance.randrange(1, 4) for j in chance.sample(range(80), 4)} for i in range(12)}
    judgments = [(q, d, grade) for q, found in grades.items() for d, grade in found.items()]
    folder = write_beir(tmp_path, corpus, queries, judgments, zipped=True)
    rows = ranked(encoder, [q["text"] for q in queries], [("", p["text"]) for p in corpus[:60]], "dot")

    result = single(evaluate(load_dataset(folder, limit_passages=60), [Dense("pair", encoder)], ks=KS))
    for k in KS:
        found = [{f"d{row}" for row in rows[i, :k]} & grades[f"q{i}"].keys() for i in range(12)]
        assert result.measures[f"hit@{k}"] == pytest.approx(np.mean([bool(hits) for hits in found]))
        assert result.measures[f"recall@{k}"] == pytest.approx(np.mean([len(hits) / 4 for hits in found]))


@pytest.mark.parametrize("options", [{}, {"fusion": True, "blend": True}])
def test_queries_that_stand_in_their_corpus_are_left_out_of_their_own_results(
    tmp_path: Path, encoder: DualEncoder, options: dict[str, bool]
) -> None:
    chance = random.Random(6)
    texts = [sentence(chance, 8) for _ in range(20)]
    corpus = [{"_id": str(i), "title": "", "text": text} for i, text in enumerate(texts)]
    queries = [{"_id": str(i), "text": texts[i]} for i in range(5)] + [{"_id": "x", "text": texts[7]}]
    dataset = load_dataset(write_beir(tmp_path, corpus, queries, [(q["_id"], "9", 1) for q in queries]))
    retrievers = [BM25(), Dense("pair", encoder)]
    plain = evaluate(dataset, retrievers, ks=[20], **options)
    left_out = evaluate(dataset, retrievers, ks=[20], ignore_identical_ids=True, **options)
    assert plain.notes == ["5 queries stand in the corpus and find themselves; --ignore-identical-ids leaves them out"]
    assert left_out.notes == ["5 queries have the id of a passage, which is left out of their results"]
    for before, after in zip(plain.results[:2], left_out.results[:2], strict=True):
        for query in range(6):
            expected = [row for row in before.hits.rows[query].tolist() if row != query or query == 5]
            assert [row for row in after.hits.rows[query].tolist() if row >= 0] == [row for row in expected if row >= 0]
    for result in left_out.results:
        assert all(query not in result.hits.rows[query] for query in range(5))
    assert left_out.results[0].hits.rows[5, 0] == 7, "an equal text under another id is found"


def test_identical_ids_are_of_beir_sets_only(tmp_path: Path, encoder: DualEncoder) -> None:
    dataset = load_dataset(write_dpr(tmp_path / "dev.json", dpr_record("one?", ["a"], ["b"])), hard_negatives=1)
    with pytest.raises(ValueError, match="found ignore_identical_ids with the protocol dpr-dev"):
        evaluate(dataset, [BM25()], ks=[1], ignore_identical_ids=True)


def test_answers_counts_passages_that_hold_an_answer(tmp_path: Path, encoder: DualEncoder) -> None:
    chance = random.Random(6)
    passages = [(f"title {i}", sentence(chance, 9)) for i in range(70)]
    questions = [(sentence(chance, 4), [" ".join(sentence(chance, 9).split()[:2]), "No Such Words"]) for _ in range(10)]
    data = write_text(
        tmp_path / "psgs.tsv",
        "id\ttext\ttitle\n" + "".join(f"{i}\t{text}\t{title}\n" for i, (title, text) in enumerate(passages)),
    )
    pairs = write_text(tmp_path / "qa.csv", "".join(f"{question}\t{answers!r}\n" for question, answers in questions))
    rows = ranked(encoder, [question for question, _ in questions], passages, "dot")
    # All texts are words between single spaces, so that padding with spaces finds whole words.
    holds = [
        [any(f" {answer} " in f" {passages[row][1]} " for answer in answers) for row in rows[i]]
        for i, (_, answers) in enumerate(questions)
    ]
    assert 0 < sum(map(any, holds)) < len(holds)

    result = single(evaluate(load_dataset(data, questions=pairs), [Dense("pair", encoder)], ks=KS))
    assert set(result.measures) == {*(f"hit@{k}" for k in KS), "mrr@10"}
    for k in KS:
        assert result.measures[f"hit@{k}"] == pytest.approx(np.mean([any(found[:k]) for found in holds]))
    firsts = [found.index(True) + 1 if any(found) else 0 for found in holds]
    assert result.first_ranks.tolist() == firsts


def test_an_approximate_index_reports_its_recall(tmp_path: Path, encoder: DualEncoder) -> None:
    records = dpr_records(40, hard_negatives=4)
    dataset = load_dataset(write_text(tmp_path / "dev.json", json.dumps(records)), hard_negatives=4)
    result = single(evaluate(dataset, [Dense("pair", encoder, index="hnsw")], ks=(1, 10)))
    assert result.notes[0] == "vectors of 128 floats, compared by dot"
    assert result.notes[1].startswith("the hnsw index keeps ")
    assert "% of the 10 nearest" in result.notes[1]
    assert set(result.seconds) == {"passages", "queries", "search", "hnsw index and search"}


def test_wrong_ks_and_retrievers_are_refused(tmp_path: Path, encoder: DualEncoder) -> None:
    path = write_text(tmp_path / "dev.json", json.dumps(dpr_records(2, hard_negatives=4)))
    dataset = load_dataset(path, hard_negatives=4)
    pair = Dense("pair", encoder)
    assert evaluate(dataset, [pair]).ks == (1, 5, 10)
    assert evaluate(dataset, [pair]).notes == [f"{path}: 10 passages in all, so no figures for k = 20, 50, 100, 1000"]
    with pytest.raises(ValueError, match=r"dev\.json: found 10 passages for k = 11; expected at least k"):
        evaluate(dataset, [pair], ks=[1, 11])
    with pytest.raises(ValueError, match=r"k is \[0\]; expected whole numbers of at least 1"):
        evaluate(dataset, [pair], ks=[0])
    with pytest.raises(ValueError, match="no retrievers are given"):
        evaluate(dataset, [])
    with pytest.raises(ValueError, match="found two retrievers named pair"):
        evaluate(dataset, [pair, Dense("pair", encoder)])
    with pytest.raises(ValueError, match=r"fusion found \['pair'\]; expected BM25 and a dense retriever"):
        evaluate(dataset, [pair], fusion=True)
