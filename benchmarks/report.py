"""bench.md: a table for each section, with the targets and whether they are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rows import TARGETS, Row

_TITLES = {
    "passages": "Passages a second",
    "queries": "One question at a time",
    "backends": "Backends of this package, and another version of it",
    "starts": "From the start of a process to its first vector",
    "memory": "Streams of short passages, each in a fresh process",
    "index": "The index of passages",
    "adapters": "Time that a framework's adapter adds",
}
_HEAD = """| model | what | median | ratio (lowest ... highest) | target | met | |
| --- | --- | ---: | ---: | --- | --- | --- |"""


def markdown(rows: Sequence[Row], about: Mapping[str, str], missing: Sequence[str]) -> str:
    """The whole report."""
    with_target = [(TARGETS[row.key], row) for row in rows if row.key in TARGETS]
    met = sum(target.met(row) for target, row in with_target)
    parts = ["# Benchmark", ", ".join(f"{name} {value}" for name, value in about.items()) + "."]
    parts.append(f"{met} of {len(with_target)} targets are met. A ratio is the median of the ratios of all rounds.")
    for section, group in groupby(rows, key=lambda row: row.section):
        parts.append(f"## {_TITLES[section]}")
        parts.append("\n".join([_HEAD, *map(_line, group)]))
    if missing:
        parts.append("## Not measured")
        parts.append("\n".join(f"- {line}" for line in missing))
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    target = TARGETS.get(row.key)
    ratio = row.ratio and f"{row.ratio.median:.2f} ({row.ratio.low:.2f} ... {row.ratio.high:.2f})"
    value = "" if row.value is None else f"{_number(row.value)} {row.unit}".strip()
    verdict = "" if target is None else "yes" if target.met(row) else "**no**"
    return f"| {row.model} | {row.what} | {value} | {ratio or ''} | {target or ''} | {verdict} | {row.note} |"


def _number(value: float) -> str:
    """Three significant digits; all digits of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
