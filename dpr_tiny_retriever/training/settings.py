"""What a training run is told: one record, in code, in a recipe file and on the command line.

The defaults are those of the published tiny pairs where these have a value.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dpr_tiny_retriever.training.losses import Contrastive, EmbeddingMatch, KLDivergence, Loss, MarginMSE
from dpr_tiny_retriever.training.validated import (
    Count,
    CountOrZero,
    NotNegative,
    Positive,
    Share,
    TextLength,
    Validated,
)


class Schedule(Validated, frozen=True, kw_only=True):
    """How long the run is."""

    epochs: Count = 40
    steps: Count | None = None
    """Optimization steps in all; replaces epochs."""
    warmup: Share = 0.1
    """The share of the steps in which the learning rate rises; then it falls linearly to zero."""
    warmup_steps: CountOrZero | None = None
    """These steps instead of a share."""


class Optimizer(Validated, frozen=True, kw_only=True):
    """AdamW (Loshchilov and Hutter 2019)."""

    learning_rate: Positive = 2e-5
    """The highest."""
    weight_decay: NotNegative = 0.01
    """Of kernels and embeddings; biases and layer norms have none."""
    beta_2: Share = 0.999
    epsilon: Positive = 1e-8
    clip_norm: Positive | None = 1.0
    """The largest norm of the global gradient."""


class Batches(Validated, frozen=True, kw_only=True):
    """What one step is made of."""

    size: Count = 128
    """Questions in one global batch, over all replicas."""
    hard_negatives: CountOrZero = 1
    """Passages beside the positive that each question brings into the batch; questions with fewer bring fewer."""
    max_query_length: TextLength = 64
    max_passage_length: TextLength = 156
    chunk_size: Count | None = None
    """Gradient caching (Gao et al. 2021): texts that are encoded at once; None encodes the batch whole."""
    topics: CountOrZero = 0
    """Topic-aware batches (Hofstätter et al. 2021): so many random examples, and with each some whose positives are
    nearest to its own by the teacher. 0: random examples."""
    topic_pool: Count = 48
    """Nearest passages of which a topic's examples are drawn."""
    queue: CountOrZero = 0
    """Passages of former batches that contrastive and kl_divergence score the questions against too."""
    short_passages: TextLength | None = None
    """Tokens to which passages are cut before short_until, for faster early steps."""
    short_until: Share = 0.5
    """The share of the steps that short_passages holds for."""


class Regularization(Validated, frozen=True, kw_only=True):
    """Against learning the data by heart."""

    dropout: Share = 0.1
    dropout_inside: bool = False
    """Dropout also where BERT has it, not only on the vector."""
    word_dropout: Share = 0.0
    """The share of word pieces that texts are without, others at each step."""


class Losses(Validated, frozen=True, kw_only=True):
    """What is minimized: the weighted sum of the losses that are not None."""

    temperature: Positive | None = None
    """Similarities are divided by this; None is losses.TEMPERATURES' value."""
    contrastive: Contrastive | None = Contrastive()
    embedding_match: EmbeddingMatch | None = None
    kl_divergence: KLDivergence | None = None
    margin_mse: MarginMSE | None = None

    def chosen(self) -> list[Loss]:
        """The losses that are not None."""
        return [loss for loss in msgspec.structs.astuple(self) if isinstance(loss, Loss)]


class Evaluation(Validated, frozen=True, kw_only=True):
    """How often dev examples are evaluated."""

    every: Count | None = None
    """Steps between evaluations; None is once an epoch."""
    patience: Count | None = None
    """Evaluations without a better one after which training stops."""


class Settings(Validated, frozen=True, kw_only=True):
    """The settings of a run. Raises ValueError where a value cannot work."""

    schedule: Schedule = Schedule()
    optimizer: Optimizer = Optimizer()
    batches: Batches = Batches()
    regularization: Regularization = Regularization()
    losses: Losses = Losses()
    evaluation: Evaluation = Evaluation()
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the encoders' products; weights, losses and optimizer stay float32."""
    compiled: bool = False
    """Fuse the elementwise operations between matrix products with XLA: faster steps, after a compilation of about a
    second for each new sequence length. Excludes regularization.dropout_inside."""
    seed: CountOrZero = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compiled and self.regularization.dropout and self.regularization.dropout_inside:
            raise ValueError(
                "compiled and regularization.dropout_inside are set; expected one of them, since the compiled kernels "
                "have no dropout inside"
            )

    def named(self) -> dict[str, Any]:
        """Every value by its dotted name, such as "optimizer.learning_rate"."""
        return named_values(self)


def named_values(settings: Validated) -> dict[str, Any]:
    """Every value of a record of records by its dotted name."""
    return dict(_named(msgspec.to_builtins(settings)))


def _named(record: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in record.items():
        found += _named(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found
