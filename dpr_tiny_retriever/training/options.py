"""What a run is told beside its settings - how it is run, and what a recipe adds to it - and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.dev_evaluation import DevScore


@dataclass(frozen=True)
class RunOptions:
    """How a run is run; nothing here changes what it learns."""

    strategy: tf.distribute.Strategy | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    """Called beside the run's own."""
    tensorboard: Path | None = None
    checkpoints: Path | None = None
    """The folder of the run's state; None is output/training."""
    checkpoint_every: int | None = None
    """Steps after which the state is saved, beside every checkpoint_minutes."""
    checkpoint_minutes: float = 5.0
    resume: bool = True
    """Go on with an unfinished run of the same data and settings. A finished one is started anew."""
    reuse_finished: bool = False
    """Take a finished run of the same data and settings for this one, as a recipe does with its stages."""
    license: str | None = None
    started_from: str = "a pair in memory"
    """What the run starts from, for the model card."""
    show_progress: bool | None = None
    """Whether a progress bar is drawn; None is on a terminal only."""


@dataclass(frozen=True)
class Run:
    """What a training run gave."""

    encoder: DualEncoder
    steps: int
    history: dict[str, list[float]]
    dev: list[DevScore]
    skipped: SkippedRecords
    seconds: float


@dataclass(frozen=True)
class QuerySideRun:
    """What a training of the query side gave: the new query encoder beside the passage model's own passage encoder."""

    encoder: DualEncoder
    steps: int
    history: dict[str, list[float]]
    questions: int
    """Different questions, those held out included."""
    held_out: int
    agreement: float
    """Mean cosine of the vectors of questions held out to the passage model's; NaN where none are."""
    agreement_at_start: float
    skipped: SkippedRecords
    seconds: float
