"""Settings of a small training run, and what its tests compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import tensorflow as tf

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import (
    Batches,
    Evaluation,
    Optimizer,
    Regularization,
    Run,
    RunOptions,
    Schedule,
    Settings,
)

SETTINGS = Settings(
    schedule=Schedule(epochs=3),
    optimizer=Optimizer(learning_rate=0.01),
    batches=Batches(size=6, hard_negatives=1, max_query_length=16, max_passage_length=32),
    regularization=Regularization(dropout=0.2),
    evaluation=Evaluation(every=4),
)
QUERIES = ["who wrote the river of city", "the tower"]


def changed(settings: Settings, **sections: Any) -> Settings:
    """The settings with some values of some sections changed."""
    whole = {name: value for name, value in sections.items() if not isinstance(value, dict)}
    parts = {
        name: msgspec.structs.replace(getattr(settings, name), **values)
        for name, values in sections.items()
        if isinstance(values, dict)
    }
    return msgspec.structs.replace(settings, **whole, **parts)


def quiet(**options: Any) -> RunOptions:
    return RunOptions(show_progress=False, **options)


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """A user's callback."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.losses.append(float((logs or {})["loss"]))


@dataclass(frozen=True)
class Finished:
    run: Run
    output: Path
    tensorboard: Path
    losses: list[float]


def arrays(pair: DualEncoder) -> list[Any]:
    found = tf.nest.flatten([pair.query_encoder.weights, pair.passage_encoder.weights])
    return [array for array in found if array is not None]


def assert_same_weights(one: DualEncoder, other: DualEncoder) -> None:
    for found, expected in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
