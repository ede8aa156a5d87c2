"""A figure of the report, and the bars that figures are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ratio:
    """Quotients, one a round: their median, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> Ratio:
        quotients = np.array(above) / np.array(below)
        return cls(float(np.median(quotients)), float(quotients.min()), float(quotients.max()))


@dataclass(frozen=True)
class Row:
    """One line of a table: a median in its unit, and how many times it something is, with the spread over rounds."""

    section: str
    model: str
    what: str
    value: float | None = None
    unit: str = ""
    ratio: Ratio | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.section, self.model, self.what


@dataclass(frozen=True)
class Bar:
    """A bound for a row's ratio, or for its value where the row has no ratio."""

    relation: str
    limit: float

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"

    def met(self, row: Row) -> bool:
        found = row.value if row.ratio is None else row.ratio.median
        assert found is not None
        return found >= self.limit if self.relation == ">=" else found <= self.limit


#: By section, model and what is measured. Reported, and never a condition of anything.
BARS: dict[tuple[str, str, str], Bar] = {
    ("passages", "L-2", "ours / card"): Bar(">=", 6),
    ("passages", "L-12", "ours / card"): Bar(">=", 4),
    ("passages", "L-2", "ours / sentence-transformers"): Bar(">=", 3),
    ("passages", "L-12", "ours / sentence-transformers"): Bar(">=", 2.5),
    ("passages", "L-2", "ours / onnxruntime"): Bar(">=", 1.3),
    ("passages", "L-12", "ours / onnxruntime"): Bar(">=", 1.2),
    **{
        ("queries", model, what): Bar("<=", limit)
        for model in ("L-2", "L-12")
        for what, limit in (
            ("p50: ours / sentence-transformers", 0.25),
            ("p50: ours / onnxruntime", 1.5),
            ("ours: p99 / p50", 3),
            ("ours: p99 / p50, every length as often", 3),
        )
    },
    ("starts", "L-2", "one question - import tensorflow"): Bar("<=", 1),
    ("starts", "L-2", "one question / sentence-transformers"): Bar("<=", 1),
}
