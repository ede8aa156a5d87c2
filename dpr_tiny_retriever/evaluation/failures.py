"""The queries whose relevant passage was ranked worst, with what was ranked above it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpr_tiny_retriever.data.answer_matching import has_answer
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.evaluation.run import Evaluation, Result

_SNIPPET_CHARS = 160
_PASSAGES_SHOWN = 3


@dataclass(frozen=True)
class Failure:
    """A query whose first relevant passage is not at rank 1."""

    query_id: str
    query: str
    rank: int | None
    """Of the first relevant passage, from 1; None if none was found."""
    expected: str
    """The relevant passage, or the answers."""
    found: list[str]
    """The passages that were ranked first instead."""


def worst_queries(evaluation: Evaluation, result: Result, count: int) -> list[Failure]:
    """Return up to count failures, those without any relevant passage first, then by rank, worst first."""
    ranks = np.where(result.first_ranks == 0, np.iinfo(np.int32).max, result.first_ranks)
    order = np.argsort(-ranks, kind="stable")[:count]
    return [_failure(evaluation.dataset, result, int(query)) for query in order if ranks[query] > 1]


def _failure(dataset: Dataset, result: Result, query: int) -> Failure:
    rank = int(result.first_ranks[query]) or None
    rows = [int(row) for row in result.hits.rows[query] if row >= 0]
    if dataset.relevant is not None:
        relevant = [row for row, grade in dataset.relevant[query].items() if grade > 0]
        expected = _snippet(dataset, relevant[0]) if relevant[0] >= 0 else "a passage that the corpus lacks"
        wrong = [row for row in rows if row not in relevant]
    else:
        answers = (dataset.answers or [])[query]
        expected = " or ".join(answers)
        above = rows[: rank - 1] if rank else rows
        wrong = [row for row in above[:_PASSAGES_SHOWN] if not has_answer(dataset.corpus[row].text, answers)]
    found = [_snippet(dataset, row) for row in wrong[:_PASSAGES_SHOWN]]
    return Failure(dataset.query_ids[query], dataset.queries[query], rank, expected, found)


def _snippet(dataset: Dataset, row: int) -> str:
    passage = dataset.corpus[row]
    text = " ".join(f"{passage.title}: {passage.text}".split() if passage.title else passage.text.split())
    return text if len(text) <= _SNIPPET_CHARS else text[:_SNIPPET_CHARS] + "..."
