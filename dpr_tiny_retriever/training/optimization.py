"""AdamW with a learning rate that rises and falls, for a model under a strategy."""

from __future__ import annotations

import math
from typing import Any, Protocol

import keras
import tensorflow as tf

from dpr_tiny_retriever.training.settings import Optimizer, Schedule


class OptimizerSettings(Protocol):
    """What of a run's settings the optimizer is made of."""

    @property
    def schedule(self) -> Schedule: ...
    @property
    def optimizer(self) -> Optimizer: ...
    @property
    def precision(self) -> str: ...


class OptimizedModel(keras.Model):  # type: ignore[misc]
    """A Keras model that knows how many optimization steps it has had, those before a resumption included."""

    @property
    def steps_made(self) -> int:
        """The optimizer's count."""
        return int(self.optimizer.iterations.value.numpy())


def compile_model(model: OptimizedModel, settings: OptimizerSettings, total_steps: int) -> None:
    """Give a model its optimizer; call it in the scope of the strategy that the model was made in."""
    chosen, schedule = settings.optimizer, settings.schedule
    warmup = math.ceil(schedule.warmup * total_steps) if schedule.warmup_steps is None else schedule.warmup_steps
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    optimizer: Any = keras.optimizers.AdamW(
        learning_rate=WarmUp(chosen.learning_rate, total_steps, warmup),
        weight_decay=chosen.weight_decay,
        beta_2=chosen.beta_2,
        epsilon=chosen.epsilon,
        # The optimizer sees each replica's equal share of the summed gradient.
        global_clipnorm=chosen.clip_norm and chosen.clip_norm / replicas,
        name="adamw",  # a run's state knows variables by their paths, and Keras would number optimizers
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "norm"])
    if settings.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that rises linearly over the first steps, then falls linearly to zero at the last."""

    def __init__(self, peak: float, total: int, warmup: int) -> None:
        self.peak, self.total, self.warmup = peak, total, warmup

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.total - step) / max(self.total - self.warmup, 1)
        return self.peak * tf.clip_by_value(tf.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras asks for them."""
        return {"peak": self.peak, "total": self.total, "warmup": self.warmup}
