"""An evaluation as a table in the terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.evaluation.failures import worst_queries
from dpr_tiny_retriever.evaluation.run import Evaluation, Result
from dpr_tiny_retriever.visible_text import visible


def print_report(evaluation: Evaluation, console: Console, *, failures: int = 0) -> None:
    """Print the figures in percent, the notes, and up to this many failures of each retriever."""
    dataset = evaluation.dataset

    def print_line(line: str, style: str | None = None) -> None:
        # Names and texts come from files: neither rich's markup nor the terminal's control characters count in them.
        console.print(visible(line), style=style, highlight=False, markup=False, soft_wrap=True)

    size = f"{len(dataset.queries):,} queries, {len(dataset.corpus):,} passages"
    print_line(f"{dataset.name}: {size}, {dataset.protocol}", style="bold")
    console.print(_table(evaluation))
    for note in _retriever_notes(evaluation):
        print_line(note)
    for note in evaluation.notes:
        print_line(f"Note: {note}")
    for result in evaluation.results if failures else ():
        print_line(f"\nWorst queries of {result.name}", style="bold")
        for line in _failure_lines(evaluation, result, failures):
            print_line(line)


def as_json(evaluation: Evaluation, *, failures: int = 0) -> dict[str, Any]:
    """Return the evaluation as plain data: measures as fractions, seconds of each part, notes, failures."""
    dataset = evaluation.dataset
    return {
        "dataset": dataset.name,
        "protocol": dataset.protocol,
        "sources": [str(path) for path in dataset.corpus.sources],
        "queries": len(dataset.queries),
        "passages": len(dataset.corpus),
        "notes": evaluation.notes,
        "results": [
            {
                "name": result.name,
                "kind": result.kind,
                "measures": result.measures,
                "seconds": result.seconds,
                "notes": result.notes,
                **({"failures": [vars(f) for f in worst_queries(evaluation, result, failures)]} if failures else {}),
            }
            for result in evaluation.results
        ],
    }


def as_markdown(evaluation: Evaluation) -> str:
    """Return a table in the form of the published pairs' model cards.

    R@k, in percent, is hit@k: the share of queries with a relevant passage among the first k.
    """
    dataset = evaluation.dataset
    optional = {"ndcg@10": "nDCG@10", "map": "MAP"}
    others = [name for name in optional if name in evaluation.results[0].measures]
    header = ["model", "data", "queries", "passages", *(f"R@{k}" for k in evaluation.ks), "MRR@10"]
    header += [optional[name] for name in others]
    rows = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for result in evaluation.results:
        measures = [*(f"hit@{k}" for k in evaluation.ks), "mrr@10", *others]
        sizes = [str(len(dataset.queries)), str(len(dataset.corpus))]
        figures = [f"{100 * result.measures[name]:.2f}" for name in measures]
        rows.append([result.name.replace("|", "\\|"), dataset.name, *sizes, *figures])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write_results(evaluation: Evaluation, folder: Path, *, command: str, failures: int = 0) -> list[Path]:
    """Write results.json and results.md; command is what reproduces the figures."""
    record = {"command": command, **as_json(evaluation, failures=failures)}
    notes = "".join(f"- {note}\n" for note in [*_retriever_notes(evaluation), *evaluation.notes])
    contents = {
        folder / "results.json": json.dumps(record, indent=2, ensure_ascii=False) + "\n",
        folder / "results.md": f"{as_markdown(evaluation)}\n{notes}\n```\n{command}\n```\n",
    }
    for path, text in contents.items():
        with replaced_file(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    return list(contents)


def _table(evaluation: Evaluation) -> Table:
    table = Table()
    table.add_column("percent")
    for result in evaluation.results:
        table.add_column(escape(visible(result.name)), justify="right", overflow="fold")
    for name in evaluation.results[0].measures:
        if name.startswith("recall@") and _has_one_relevant_each(evaluation):
            continue  # it equals hit@k
        values = [result.measures[name] for result in evaluation.results]
        best = max(values) if len(values) > 1 else None
        table.add_row(name, *(f"[bold]{100 * x:.2f}[/bold]" if x == best else f"{100 * x:.2f}" for x in values))
    table.add_section()
    table.add_row("seconds", *(f"{sum(result.seconds.values()):.1f}" for result in evaluation.results))
    return table


def _has_one_relevant_each(evaluation: Evaluation) -> bool:
    relevant = evaluation.dataset.relevant or []
    return all(sum(grade > 0 for grade in grades.values()) == 1 for grades in relevant)


def _retriever_notes(evaluation: Evaluation) -> list[str]:
    return [f"{result.name}: {'; '.join(result.notes)}" for result in evaluation.results]


def _failure_lines(evaluation: Evaluation, result: Result, count: int) -> Iterator[str]:
    for failure in worst_queries(evaluation, result, count):
        rank = f"rank {failure.rank}" if failure.rank else f"not among the first {result.hits.rows.shape[1]}"
        yield f"{failure.query_id}  {failure.query}  ({rank})"
        yield f"  expected  {failure.expected}"
        for number, text in enumerate(failure.found, start=1):
            yield f"  {number}. found  {text}"
