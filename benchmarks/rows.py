"""A figure of the report, and the targets that figures are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ratio:
    """Quotients of two measurements, one for each round: median, lowest and highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> Ratio:
        quotients = np.array(above) / np.array(below)
        return cls(float(np.median(quotients)), float(quotients.min()), float(quotients.max()))


@dataclass(frozen=True)
class Row:
    """One line of a table: a median with its unit, and a ratio with its spread over the rounds."""

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
class Target:
    """A bound for a row's ratio or, if the row has none, for its value."""

    relation: str
    limit: float

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"

    def met(self, row: Row) -> bool:
        figure = row.value if row.ratio is None else row.ratio.median
        assert figure is not None
        return figure >= self.limit if self.relation == ">=" else figure <= self.limit


#: By section, model and what is measured. They are reported; missing one is no error.
TARGETS: dict[tuple[str, str, str], Target] = {
    ("passages", "L-2", "ours / card"): Target(">=", 6),
    ("passages", "L-12", "ours / card"): Target(">=", 4),
    ("passages", "L-2", "ours / sentence-transformers"): Target(">=", 3),
    ("passages", "L-12", "ours / sentence-transformers"): Target(">=", 2.5),
    ("passages", "L-2", "ours / onnxruntime"): Target(">=", 1.3),
    ("passages", "L-12", "ours / onnxruntime"): Target(">=", 1.2),
    **{
        ("queries", model, what): Target("<=", limit)
        for model in ("L-2", "L-12")
        for what, limit in (
            ("p50: ours / sentence-transformers", 0.25),
            ("p50: ours / onnxruntime", 1.5),
            ("ours: p99 / p50", 3),
            ("ours: p99 / p50, all lengths equally often", 3),
        )
    },
    **{
        ("backends", model, f"{what}: ours / before"): Target(">=", 0.97)
        for model in ("L-2", "L-12", "bundled")
        for what in ("passages", "questions")
    },
    ("index", "bundled", "add / encode"): Target(">=", 0.8),
    ("index", "bundled", "100,000 passages: opening and first answer"): Target("<=", 500),
    ("index", "bundled", "100,000 passages: blend"): Target("<=", 20),
    ("starts", "L-2", "one question - import tensorflow"): Target("<=", 1),
    ("starts", "L-2", "one question / sentence-transformers"): Target("<=", 1),
}
