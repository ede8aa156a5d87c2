"""hit@k over k, one line for each retriever."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.evaluation.run import Evaluation, Result

_LINE_STYLES = ("-", "--", "-.", ":")


def write_plot(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Plot the share of queries with a relevant passage among the first k, as hits.png and hits.svg."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for result, style in zip(evaluation.results, itertools.cycle(_LINE_STYLES), strict=False):
        label = result.name.replace("$", r"\$")  # matplotlib would typeset it as mathematics
        axes.plot(*_curve(result), style, label=label, linewidth=1.8, drawstyle="steps-post")
    dataset = evaluation.dataset
    axes.set_title(f"{dataset.name}: {len(dataset.queries):,} queries, {len(dataset.corpus):,} passages")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("k passages retrieved")
    axes.set_ylabel("queries with a relevant passage among them")
    axes.set_ylim(top=1.0)
    axes.set_xlim(left=1)
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right")
    png, svg = folder / "hits.png", folder / "hits.svg"
    with replaced_file(png) as part:
        figure.savefig(part, format="png", dpi=160)
    # A fixed salt for ids and no date: the same figures give the same file.
    with replaced_file(svg) as part, rc_context({"svg.hashsalt": "hits"}):
        figure.savefig(part, format="svg", metadata={"Date": None})
    return [png, svg]


def _curve(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return k = 1, 2, ... and hit@k of each."""
    depth = result.hits.rows.shape[1]
    queries_by_rank = np.bincount(result.first_ranks, minlength=depth + 1)[1:]
    return np.arange(1, depth + 1), np.cumsum(queries_by_rank) / len(result.first_ranks)
