"""Keras' fit over the batches of a run, from where an unfinished run is."""

from __future__ import annotations

import itertools
import math
from typing import Any, Protocol

import keras
import tensorflow as tf
from threadpoolctl import threadpool_limits

from dpr_tiny_retriever.training.batches import batch_signature
from dpr_tiny_retriever.training.optimization import OptimizedModel
from dpr_tiny_retriever.training.options import RunOptions
from dpr_tiny_retriever.training.resumption import Progress, RunState


class StepBatches(Protocol):
    """Batches that depend on the step alone, so that runs resume exactly."""

    steps_per_epoch: int
    total_steps: int

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, counted from 0."""
        ...


def fit(model: OptimizedModel, maker: StepBatches, state: RunState, options: RunOptions) -> dict[str, list[float]]:
    """Train up to the last step, and return the history; a Keras epoch has as many steps as one of the data."""
    total = maker.total_steps
    epochs = math.ceil(total / maker.steps_per_epoch)
    done = state.restore(model, total)
    callbacks: list[keras.callbacks.Callback] = [
        # Dev evaluation before the state is saved: the state then holds the evaluation of its step.
        *([state.dev] if state.dev else []),
        state,
        Progress(total, done, show_progress=options.show_progress),
        *([keras.callbacks.TensorBoard(str(options.tensorboard), update_freq=10)] if options.tensorboard else []),
        *options.callbacks,
    ]
    # Without an end: Progress stops at the last step, wherever in an epoch that is.
    dataset = tf.data.Dataset.from_generator(
        lambda: (maker.batch(step) for step in itertools.count(done)),
        output_signature=batch_signature(maker.batch(done)),
    ).prefetch(2)
    if model.distribute_strategy.num_replicas_in_sync > 1:
        sharding = tf.data.Options()
        sharding.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = dataset.with_options(sharding)
    # Batches are made in numpy beside TensorFlow's work: several threads of its BLAS would wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = model.fit(
            dataset,
            steps_per_epoch=maker.steps_per_epoch,
            epochs=epochs,
            initial_epoch=done // maker.steps_per_epoch if done < total else epochs,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )
    history: dict[str, list[float]] = fitted.history
    return history
