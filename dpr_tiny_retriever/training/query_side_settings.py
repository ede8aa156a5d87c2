"""What a training of the query side alone is told: the counterpart of Settings, without all that needs passages."""

from __future__ import annotations

from typing import Any, Literal

from dpr_tiny_retriever.training.settings import Optimizer, Schedule, named_values
from dpr_tiny_retriever.training.validated import (
    Count,
    CountOrZero,
    NotNegative,
    Positive,
    Share,
    TextLength,
    Validated,
)


class QuestionBatches(Validated, frozen=True, kw_only=True):
    """What one step is made of."""

    size: Count = 256
    max_query_length: TextLength = 64
    without_question_mark: Share = 0.5
    """The share of the questions with a question mark at the end that are shown without it, others at each step."""


class QuestionLosses(Validated, frozen=True, kw_only=True):
    """What is minimized: the weighted sum of both. A weight of 0 leaves a loss out."""

    embedding_match: NotNegative = 1.0
    """1 - cosine to the teacher's vector."""
    score_match: NotNegative = 0.1
    """KL divergence of a question's scores against the teacher's vectors of the batch's others from the teacher's."""
    temperature: Positive = 0.05
    """Scores are divided by this before the softmax of score_match."""


class QuerySideSettings(Validated, frozen=True, kw_only=True):
    """The settings of such a run. Raises ValueError where a value cannot work."""

    schedule: Schedule = Schedule(epochs=10, warmup=0.05)
    optimizer: Optimizer = Optimizer(learning_rate=1e-3)
    batches: QuestionBatches = QuestionBatches()
    losses: QuestionLosses = QuestionLosses()
    held_out: CountOrZero = 1000
    """Questions, at most a tenth of them, that are not trained on: the agreement with the teacher is measured there."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compiled: bool = False
    """As in Settings."""
    seed: CountOrZero = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.losses.embedding_match and not self.losses.score_match:
            raise ValueError("losses.embedding_match and losses.score_match are 0; expected one of them to have weight")

    def named(self) -> dict[str, Any]:
        """Every value by its dotted name, such as "optimizer.learning_rate"."""
        return named_values(self)
