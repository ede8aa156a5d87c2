"""The plots of the site, drawn from the tables of the pages that they stand on."""

from __future__ import annotations

import io
import re

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Stands for the page's own color of text, so that a plot reads on a light and on a dark page.
INK = "#123456"
COLORS = ["#9e9e9e", "#26a69a", "#00796b", "#ffa000"]
SETTINGS = {
    "svg.hashsalt": "dpr-tiny-retriever",  # the same bytes at each build
    "font.size": 10,
    **dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], INK),
}
#: What rows are called on the page, and in the plot.
SYSTEMS = {"BM25": "BM25", "bundled pair": "bundled pair", "bundled + BM25, blended": "blended", "MiniLM-L6": "MiniLM"}

Rows = list[list[str]]


def hit_rates(markdown: str) -> str:
    """Return hit@1 of four systems on each data set as SVG, from the first table of the evaluation's page."""
    rates: dict[str, dict[str, float]] = {}
    data = ""
    for row in _table(markdown, "system"):
        data = row[0] or data
        name = next((label for start, label in SYSTEMS.items() if row[1].replace("*", "").startswith(start)), None)
        if name and not data.startswith("+"):
            rates.setdefault(data, {})[name] = float(row[2])
    with matplotlib.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(5.2, 5), layout="constrained")
        for place, (name, color) in enumerate(zip(SYSTEMS.values(), COLORS, strict=True)):
            at = [group + 0.2 * (place - 1.5) for group, found in enumerate(rates.values()) if name in found]
            bars = axes.barh(
                at, [found[name] for found in rates.values() if name in found], 0.19, color=color, label=name
            )
            axes.bar_label(bars, fmt=" %.1f", fontsize=8)
        axes.set(yticks=range(len(rates)), yticklabels=[text.replace(" ", "\n", 1) for text in rates])
        axes.set(xlim=(0, 100), xlabel="hit@1, percent")
        return _as_svg(figure, axes)


def speed(markdown: str) -> str:
    """Return how many times as fast as its peers the package is as SVG, from the table of the speed's page."""
    heading, *rows = _table(markdown, "L-12", with_heading=True)
    peers = [row for row in rows if row[0].startswith("times ") and "itself" not in row[0]]
    names = [
        row[0].removeprefix("times ").replace(", our batches", "").replace("farm-haystack's ", "") for row in peers
    ]
    with matplotlib.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
        for place, (model, color) in enumerate(zip(heading[1:], COLORS, strict=False)):
            found = [[float(number) for number in re.findall(r"[\d.]+\d", row[place + 1])] for row in peers]
            middle = [numbers[0] for numbers in found]
            reach = [[numbers[0] - numbers[1] for numbers in found], [numbers[2] - numbers[0] for numbers in found]]
            at = [group + 0.27 * (place - 1) for group in range(len(peers))]
            axes.barh(at, middle, 0.25, color=color, label=model, xerr=reach, ecolor=INK, error_kw={"elinewidth": 0.8})
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set(yticks=range(len(peers)), yticklabels=[name.replace(" ", "\n", 1) for name in names])
        axes.set(xlabel="times as fast, lowest to highest round")
        return _as_svg(figure, axes)


def _table(markdown: str, column: str, *, with_heading: bool = False) -> Rows:
    """Return the cells of the first table that has a column of this name."""
    rows: Rows = []
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and (rows or column in cells):
            rows.append(cells)
        elif rows:
            break
    if not rows:
        raise ValueError(f"the page has no table with the column {column}")
    return [rows[0], *rows[2:]] if with_heading else rows[2:]


def _as_svg(figure: Figure, axes: Axes) -> str:
    """Return a figure whose groups are listed from the top, with the page's color of text."""
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    svg = file.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "var(--md-default-fg-color)")
