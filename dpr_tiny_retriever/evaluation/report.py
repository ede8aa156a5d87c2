"""An evaluation as a terminal table, JSON, Markdown and TREC run files, and the queries that failed worst."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dpr_tiny_retriever.data.answer_matching import has_answer
from dpr_tiny_retriever.evaluation.run import Evaluation, Result

_SNIPPET = 160  # characters
_SHOWN_INSTEAD = 3  # passages


@dataclass(frozen=True)
class Failure:
    """A query whose right passage came late or not at all."""

    query_id: str
    query: str
    rank: int | None
    """Of the first right passage, from 1; None beyond what was ranked."""
    expected: str
    """The right passage, or the answers."""
    found: list[str]
    """The passages that came first instead."""


def print_report(evaluation: Evaluation, console: Console, *, failures: int = 0) -> None:
    """Print the figures in percent, the notes, and so many failures of each system."""
    dataset = evaluation.dataset
    measures = list(evaluation.results[0].measures)
    shown = [name for name in measures if not name.startswith("recall@")] if _one_right_each(evaluation) else measures
    size = f"{len(dataset.queries):,} queries, {len(dataset.corpus):,} passages"
    console.print(
        f"{dataset.name}: {size}, {dataset.protocol}",
        style="bold",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    table = Table()
    table.add_column("percent")
    for result in evaluation.results:
        table.add_column(result.name, justify="right", overflow="fold")
    for name in shown:
        figures = [result.measures[name] for result in evaluation.results]
        marked = [
            f"[bold]{100 * x:.2f}[/bold]" if x == max(figures) and len(figures) > 1 else f"{100 * x:.2f}"
            for x in figures
        ]
        table.add_row(name, *marked)
    table.add_section()
    table.add_row("seconds", *(f"{sum(result.seconds.values()):.1f}" for result in evaluation.results))
    console.print(table)
    for result in evaluation.results:
        console.print(f"{result.name}: {'; '.join(result.notes)}", markup=False, highlight=False, soft_wrap=True)
    for note in evaluation.notes:
        console.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)
    for result in evaluation.results if failures else ():
        console.print(f"\nWorst queries of {result.name}", style="bold", markup=False, highlight=False)
        for failure in worst(evaluation, result, failures):
            rank = f"rank {failure.rank}" if failure.rank else f"not among the first {result.hits.rows.shape[1]}"
            lines = [f"{failure.query_id}  {failure.query}  ({rank})", f"  expected  {failure.expected}"]
            lines += [f"  {place}. found  {text}" for place, text in enumerate(failure.found, start=1)]
            console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def as_json(evaluation: Evaluation, *, failures: int = 0) -> dict[str, Any]:
    """The evaluation as plain data: every figure as a fraction, seconds of each part, notes, failures."""
    dataset = evaluation.dataset
    return {
        "dataset": dataset.name,
        "protocol": dataset.protocol,
        "sources": [str(path) for path in dataset.corpus.sources],
        "queries": len(dataset.queries),
        "passages": len(dataset.corpus),
        "notes": evaluation.notes,
        "systems": [
            {
                "name": result.name,
                "kind": result.kind,
                "measures": result.measures,
                "seconds": result.seconds,
                "notes": result.notes,
                **({"failures": [vars(f) for f in worst(evaluation, result, failures)]} if failures else {}),
            }
            for result in evaluation.results
        ],
    }


def as_markdown(evaluation: Evaluation) -> str:
    """A table as the model cards of the published pairs have it.

    R@k, in percent, is hit@k: the share of queries whose right passage, or any of them, is among the first k.
    """
    dataset = evaluation.dataset
    header = ["model", "data", "queries", "passages", *(f"R@{k}" for k in evaluation.ks), "MRR@10"]
    others = [name for name in ("ndcg@10", "map") if name in evaluation.results[0].measures]
    header += [{"ndcg@10": "nDCG@10", "map": "MAP"}[name] for name in others]
    size = [dataset.name, f"{len(dataset.queries)}", f"{len(dataset.corpus)}"]
    rows = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for result in evaluation.results:
        names = [*(f"hit@{k}" for k in evaluation.ks), "mrr@10", *others]
        rows.append(
            [
                result.name.replace("|", "\\|"),
                *size,
                *(f"{100 * result.measures[name]:.2f}" for name in names),
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def worst(evaluation: Evaluation, result: Result, count: int) -> list[Failure]:
    """The queries whose first right passage has the worst rank, those without one before all."""
    ranks = np.where(result.first_ranks == 0, np.iinfo(np.int32).max, result.first_ranks)
    order = np.argsort(-ranks, kind="stable")[:count]
    return [_failure(evaluation, result, int(query)) for query in order if ranks[query] > 1]


def write_run_files(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write what each system found as a TREC run file, and the judgments beside them, for trec_eval.

    Equal scores are written apart by the smallest step, so that trec_eval keeps our order of them. Raises
    ValueError where an id holds a space, which these files cannot.
    """
    dataset = evaluation.dataset
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for result in evaluation.results:
        tag = _file_name(result.name)
        path = folder / f"{tag}.trec"
        with path.open("w", encoding="utf-8") as file:
            for query, rows in enumerate(result.hits.rows):
                query_id = _trec_id(dataset.query_ids[query])
                found = rows[rows >= 0]
                scores = _strictly_falling(result.hits.scores[query, : len(found)])
                for rank, (row, score) in enumerate(zip(found, scores, strict=True), start=1):
                    file.write(f"{query_id} Q0 {_trec_id(dataset.corpus.passage_id(row))} {rank} {score:.9g} {tag}\n")
        written.append(path)
    if dataset.relevant is not None:
        path = folder / "qrels.trec"
        with path.open("w", encoding="utf-8") as file:
            for query_id, grades in zip(dataset.query_ids, dataset.relevant, strict=True):
                for row, grade in grades.items():
                    passage_id = dataset.corpus.passage_id(row) if row >= 0 else f"beyond-the-limit{row}"
                    file.write(f"{_trec_id(query_id)} 0 {_trec_id(passage_id)} {grade}\n")
        written.append(path)
    return written


def write_results(evaluation: Evaluation, folder: Path, *, command: str, failures: int = 0) -> list[Path]:
    """Write results.json and results.md; command is what a reader repeats to get the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"command": command, **as_json(evaluation, failures=failures)}
    (folder / "results.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    notes = "".join(f"- {note}\n" for note in _all_notes(evaluation))
    text = f"{as_markdown(evaluation)}\n{notes}\n```\n{command}\n```\n"
    (folder / "results.md").write_text(text, encoding="utf-8")
    return [folder / "results.json", folder / "results.md"]


def _all_notes(evaluation: Evaluation) -> Iterator[str]:
    for result in evaluation.results:
        yield f"{result.name}: {'; '.join(result.notes)}"
    yield from evaluation.notes


def _one_right_each(evaluation: Evaluation) -> bool:
    """Whether every query has one right passage, so that recall@k is hit@k."""
    relevant = evaluation.dataset.relevant or []
    return all(sum(grade > 0 for grade in grades.values()) == 1 for grades in relevant)


def _failure(evaluation: Evaluation, result: Result, query: int) -> Failure:
    dataset = evaluation.dataset
    rows = [int(row) for row in result.hits.rows[query] if row >= 0]
    if dataset.relevant is not None:
        right = [row for row, grade in dataset.relevant[query].items() if grade > 0]
        expected = _snippet(evaluation, right[0]) if right[0] >= 0 else "a passage beyond the limit"
        instead = [row for row in rows if row not in right]
    else:
        answers = (dataset.answers or [])[query]
        expected = " or ".join(answers)
        rank = int(result.first_ranks[query])
        before = rows[: rank - 1] if rank else rows
        instead = [row for row in before[:_SHOWN_INSTEAD] if not has_answer(dataset.corpus[row].text, answers)]
    return Failure(
        query_id=dataset.query_ids[query],
        query=dataset.queries[query],
        rank=int(result.first_ranks[query]) or None,
        expected=expected,
        found=[_snippet(evaluation, row) for row in instead[:_SHOWN_INSTEAD]],
    )


def _snippet(evaluation: Evaluation, row: int) -> str:
    passage = evaluation.dataset.corpus[row]
    text = " ".join(f"{passage.title}: {passage.text}".split() if passage.title else passage.text.split())
    return text if len(text) <= _SNIPPET else text[:_SNIPPET] + "..."


def _strictly_falling(scores: Any) -> Any:
    scores = scores.astype(np.float32).copy()
    for place in range(1, len(scores)):
        if not scores[place] < scores[place - 1]:
            scores[place] = np.nextafter(scores[place - 1], np.float32(-np.inf))
    return scores


def _trec_id(value: str) -> str:
    if not value or re.search(r"\s", value):
        raise ValueError(
            f"the id {value!r} is empty or holds a space; expected ids without spaces to write TREC run files"
        )
    return value


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-") or "system"
