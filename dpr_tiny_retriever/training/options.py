"""What a run is told beside its settings - how it is run, and what a recipe adds to it - and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.dev_evaluation import DevScore
from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.losses import Loss
from dpr_tiny_retriever.training.token_store import ExampleStore


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
class Extensions:
    """What a recipe adds to a run or does in its own way: nothing, unless it says so."""

    losses: Sequence[Loss] = ()
    """Beside those of the settings."""
    batch_maker: Callable[..., BatchMaker] = BatchMaker
    """Makes the batches; called as BatchMaker is."""
    model: Callable[..., DualEncoderModel] = DualEncoderModel
    """Makes the Keras model; called as DualEncoderModel is."""
    initialize: Callable[[DualEncoder, ExampleStore, Teacher | None], DualEncoder] | None = None
    """Gives the pair that is trained in place of start; it may give the teacher other components [t, d]."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the recipe was told: stated in the model card; a run is resumed with the same only."""


@dataclass(frozen=True)
class Run:
    """What a training run gave."""

    encoder: DualEncoder
    steps: int
    history: dict[str, list[float]]
    dev: list[DevScore]
    skipped: SkippedRecords
    seconds: float
