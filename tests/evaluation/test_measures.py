"""The measures equal a brute force, haystack-ai's evaluators, and trec_eval on our run files."""

from __future__ import annotations

import math
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from haystack import Document
from haystack.components.evaluators import (
    DocumentMAPEvaluator,
    DocumentMRREvaluator,
    DocumentNDCGEvaluator,
    DocumentRecallEvaluator,
)
from haystack.components.evaluators.document_recall import RecallMode
from hypothesis import given
from hypothesis import strategies as st

from dpr_tiny_retriever.evaluation import Dataset, Evaluation, Hits, PassageStore, Result, measure, write_run_files
from dpr_tiny_retriever.evaluation.measures import first_ranks, measure_first

pytestmark = pytest.mark.evaluation

KS = (1, 5, 10, 20)


def brute_force(rows: list[list[int]], relevant: list[dict[int, int]]) -> dict[str, float]:
    means: dict[str, float] = dict.fromkeys(
        [*(f"{name}@{k}" for name in ("hit", "recall") for k in KS), "mrr@10", "ndcg@10", "map"], 0.0
    )
    for found, grades in zip(rows, relevant, strict=True):
        right = {row for row, grade in grades.items() if grade > 0}
        at = [rank for rank, row in enumerate(found, start=1) if row in right]
        for k in KS:
            means[f"hit@{k}"] += any(rank <= k for rank in at)
            means[f"recall@{k}"] += sum(rank <= k for rank in at) / len(right)
        means["mrr@10"] += next((1 / rank for rank in at if rank <= 10), 0)
        means["map"] += sum((i + 1) / rank for i, rank in enumerate(at)) / len(right)
        gains = sum(grades.get(row, 0) / math.log2(rank + 1) for rank, row in enumerate(found[:10], start=1))
        best = sorted(grades.values(), reverse=True)[:10]
        means["ndcg@10"] += gains / sum(grade / math.log2(rank + 1) for rank, grade in enumerate(best, start=1))
    return {name: total / len(rows) for name, total in means.items()}


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[list[int]], list[dict[int, int]]]:
    """Rankings of up to 25 of 40 rows, and judgments with grades 0 to 3, some of rows outside the corpus."""
    count = draw(st.integers(1, 4))
    rows = [draw(st.lists(st.integers(0, 39), unique=True, max_size=25)) for _ in range(count)]
    judged = st.dictionaries(st.integers(-3, 39), st.integers(0, 3), min_size=1, max_size=12)
    return rows, [draw(judged.filter(lambda grades: any(grades.values()))) for _ in range(count)]


def as_hits(rows: list[list[int]], depth: int = 25) -> Hits:
    padded = np.array([found + [-1] * (depth - len(found)) for found in rows], np.int32)
    return Hits(padded, np.where(padded < 0, -np.inf, 1).astype(np.float32))


@given(rankings())
def test_measures_equal_a_brute_force(data: tuple[list[list[int]], list[dict[int, int]]]) -> None:
    rows, relevant = data
    expected = brute_force(rows, relevant)
    found = measure(as_hits(rows), relevant, KS)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected)
    first = measure_first(as_hits(rows), relevant, KS)
    assert first == {name: value for name, value in found.items() if name.startswith(("hit", "mrr"))}


@given(rankings())
def test_measures_equal_haystacks_evaluators(data: tuple[list[list[int]], list[dict[int, int]]]) -> None:
    rows, relevant = data
    found = measure(as_hits(rows), relevant, KS)

    def document(row: int, grade: int | None = None) -> Document:
        return Document(id=str(row), content=str(row), score=grade)

    right = [[document(row, grade) for row, grade in grades.items() if grade > 0] for grades in relevant]

    def score(evaluator: DocumentRecallEvaluator | DocumentMRREvaluator, k: int) -> float:
        retrieved = [[document(row) for row in ranking[:k]] for ranking in rows]
        # The evaluators skip queries without retrieved documents: an irrelevant one takes their place.
        retrieved = [ranking or [document(-99)] for ranking in retrieved]
        return float(evaluator.run(ground_truth_documents=right, retrieved_documents=retrieved)["score"])

    for k in KS:
        assert score(DocumentRecallEvaluator(mode=RecallMode.SINGLE_HIT), k) == pytest.approx(found[f"hit@{k}"])
        assert score(DocumentRecallEvaluator(mode=RecallMode.MULTI_HIT), k) == pytest.approx(found[f"recall@{k}"])
    assert score(DocumentMRREvaluator(), 10) == pytest.approx(found["mrr@10"])
    assert score(DocumentMAPEvaluator(), 25) == pytest.approx(found["map"])
    # Haystack's ideal ranking holds all relevant documents: equal where there are at most ten.
    if all(len(grades) <= 10 for grades in right):
        assert score(DocumentNDCGEvaluator(), 10) == pytest.approx(found["ndcg@10"])


def test_first_ranks_are_those_of_the_first_relevant_hit() -> None:
    hits = as_hits([[4, 2, 7], [1], []])
    assert first_ranks(hits, [{7: 1, 2: 3, 4: 0}, {5: 1, -1: 1}, {0: 1}]).tolist() == [2, 0, 0]


@given(rankings())
def test_run_files_give_the_same_measures_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, data: tuple[list[list[int]], list[dict[int, int]]]
) -> None:
    """All scores are equal here: only scores written apart keep the ranks."""
    rows, relevant = data
    corpus = PassageStore()
    corpus.begin_part(Path("none"))
    for row in range(40):
        corpus.add(f"d{row}", None, str(row), row + 1)
    ids = [f"q{i}" for i in range(len(rows))]
    hits = as_hits(rows)
    dataset = Dataset("small", "beir", corpus, ids, ids, relevant)
    result = Result("my model", "dense", {}, first_ranks(hits, relevant), hits, {}, [])
    paths = write_run_files(Evaluation(dataset, KS, [result], []), tmp_path_factory.getbasetemp() / "runs")
    assert [path.name for path in paths] == ["my-model.trec", "qrels.trec"]
    run, qrels = ir_measures.read_trec_run(str(paths[0])), ir_measures.read_trec_qrels(str(paths[1]))
    wanted = [ir_measures.AP, ir_measures.nDCG @ 10, ir_measures.Success @ 5]
    values = ir_measures.calc_aggregate(wanted, qrels, run)
    expected = measure(hits, relevant, KS)
    assert [values[what] for what in wanted] == pytest.approx([expected[name] for name in ("map", "ndcg@10", "hit@5")])
