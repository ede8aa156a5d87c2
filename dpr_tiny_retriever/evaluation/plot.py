"""hit@k over k, one line a system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from dpr_tiny_retriever.evaluation.run import Evaluation, Result

_STYLES = ("-", "--", "-.", ":")


def write_plot(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw the share of queries whose right passage is among the first k, as hits.png and hits.svg."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, result in enumerate(evaluation.results):
        style = _STYLES[number % len(_STYLES)]
        axes.plot(
            *_curve(result),
            style,
            label=result.name.replace("$", r"\$"),
            linewidth=1.8,
            drawstyle="steps-post",
        )
    dataset = evaluation.dataset
    axes.set_title(f"{dataset.name}: {len(dataset.queries):,} queries, {len(dataset.corpus):,} passages")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("k passages retrieved")
    axes.set_ylabel("queries with a right passage among them")
    axes.set_ylim(top=1.0)
    axes.set_xlim(left=1)
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "hits.png", folder / "hits.svg"]
    figure.savefig(paths[0], dpi=160)
    # Without a date and random names, the same figures give the same file.
    with rc_context({"svg.hashsalt": "hits"}):
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _curve(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """k = 1 to the depth, and hit@k of each."""
    depth = result.hits.rows.shape[1]
    found = np.bincount(result.first_ranks, minlength=depth + 1)[1:]
    return np.arange(1, depth + 1), np.cumsum(found) / len(result.first_ranks)
