"""bench.png: passages a second by peer, and seconds of a stream by its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from rows import Row

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes


def plot(rows: Sequence[Row], measured: Mapping[str, Any], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    _throughput(left, [row for row in rows if row.section == "passages" and row.unit == "passages/s"])
    _cost(right, measured.get("memory", {}))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _throughput(axes: Axes, rows: Sequence[Row]) -> None:
    """One group of bars for each model, one bar for each peer."""
    models = list(dict.fromkeys(row.model for row in rows))
    peers = list(dict.fromkeys(row.what for row in rows))
    width = 0.8 / max(1, len(peers))
    for index, peer in enumerate(peers):
        values = {row.model: row.value for row in rows if row.what == peer}
        positions = [at + (index - (len(peers) - 1) / 2) * width for at, model in enumerate(models) if model in values]
        bars = axes.bar(positions, [values[model] for model in models if model in values], width, label=peer)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axes.set(xticks=range(len(models)), xticklabels=models, ylabel="passages/s", title="titled passages")
    if peers:
        axes.legend()


def _cost(axes: Axes, measured: Mapping[str, Any]) -> None:
    """Seconds by passages, beside the line of the longest stream's speed."""
    for model, runs in measured.items():
        sizes, seconds = np.array([(run["passages"], run["seconds"]) for run in runs]).T
        axes.plot(sizes, seconds, "o-", label=model)
        axes.plot(sizes, sizes * seconds[-1] / sizes[-1], ":", color="grey", label="at the speed of the longest")
        axes.legend()
    axes.set(xscale="log", yscale="log", xlabel="passages", ylabel="seconds", title="streams of short passages")
    axes.grid(alpha=0.3)
