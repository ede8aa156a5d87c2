"""bench.png: passages a second by peer, and the time of streams by their size."""

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
    """A group of bars a model, a bar a peer."""
    rows = [row for row in rows if not row.what.endswith(" alone")]
    models = list(dict.fromkeys(row.model for row in rows))
    peers = list(dict.fromkeys(row.what for row in rows))
    width = 0.8 / max(1, len(peers))
    for index, peer in enumerate(peers):
        mine = {row.model: row.value for row in rows if row.what == peer}
        places = [at + (index - (len(peers) - 1) / 2) * width for at, model in enumerate(models) if model in mine]
        bars = axes.bar(places, [mine[model] for model in models if model in mine], width, label=peer)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    axes.set(xticks=range(len(models)), xticklabels=models, ylabel="passages/s", title="titled passages")
    if peers:
        axes.legend()


def _cost(axes: Axes, measured: Mapping[str, Any]) -> None:
    """Seconds by passages, and what the largest stream's speed would give for all."""
    for model, runs in measured.items():
        sizes, seconds = np.array([(run["passages"], run["seconds"]) for run in runs]).T
        axes.plot(sizes, seconds, "o-", label=model)
        axes.plot(sizes, sizes * seconds[-1] / sizes[-1], ":", color="grey", label="in proportion to the largest")
        axes.legend()
    axes.set(xscale="log", yscale="log", xlabel="passages", ylabel="seconds", title="streams of short passages")
    axes.grid(alpha=0.3)
