"""Rankings and judgments as TREC run and qrels files, which trec_eval and other tools read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.evaluation.run import Evaluation, Result
from dpr_tiny_retriever.types import Array


def write_run_files(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write the ranking of each retriever as NAME.trec, and the judgments, if there are any, as qrels.trec.

    Equal scores are written apart by the smallest step of float32, so that trec_eval keeps their order. Raises
    ValueError for an id that is empty or holds a space, which these files cannot express.
    """
    written = []
    for result in evaluation.results:
        tag = re.sub(r"[^\w.+-]+", "-", result.name).strip("-") or "retriever"
        written.append(_write_lines(folder / f"{tag}.trec", _run_lines(evaluation.dataset, result, tag)))
    if evaluation.dataset.relevant is not None:
        written.append(_write_lines(folder / "qrels.trec", _qrels_lines(evaluation.dataset)))
    return written


def _run_lines(dataset: Dataset, result: Result, tag: str) -> Iterator[str]:
    for query, rows in enumerate(result.hits.rows):
        query_id = _trec_id(dataset.query_ids[query])
        found = rows[rows >= 0]
        scores = _strictly_descending(result.hits.scores[query, : len(found)])
        for rank, (row, score) in enumerate(zip(found, scores, strict=True), start=1):
            yield f"{query_id} Q0 {_trec_id(dataset.corpus.passage_id(row))} {rank} {score:.9g} {tag}\n"


def _qrels_lines(dataset: Dataset) -> Iterator[str]:
    for query_id, grades in zip(dataset.query_ids, dataset.relevant or [], strict=True):
        for row, grade in grades.items():
            # Negative rows are judged passages that the corpus does not hold.
            passage_id = dataset.corpus.passage_id(row) if row >= 0 else f"not-in-the-corpus{row}"
            yield f"{_trec_id(query_id)} 0 {_trec_id(passage_id)} {grade}\n"


def _write_lines(path: Path, lines: Iterable[str]) -> Path:
    with replaced_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
    return path


def _strictly_descending(scores: Array) -> Array:
    scores = scores.astype(np.float32)
    for at in range(1, len(scores)):
        if not scores[at] < scores[at - 1]:
            scores[at] = np.nextafter(scores[at - 1], np.float32(-np.inf))
    return scores


def _trec_id(value: str) -> str:
    if not value or re.search(r"\s", value):
        raise ValueError(
            f"the id {value!r} is empty or holds a space; expected ids without spaces to write TREC run files"
        )
    return value
