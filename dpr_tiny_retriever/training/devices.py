"""The devices that a run is mirrored over."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import tensorflow as tf


def mirrored(replicas: int) -> tf.distribute.Strategy | None:
    """A strategy for so many logical devices, GPUs where there are some, else CPUs; None for one.

    Call it before TensorFlow has begun to work: it may have to divide the CPU.
    """
    if replicas < 1:
        raise ValueError(f"replicas is {replicas}; expected 1 or more")
    if replicas == 1:
        return None
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":
        device = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * replicas)
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(replicas)])


def mirrored_over_gpus(most: int) -> tf.distribute.Strategy | None:
    """A strategy for the first GPUs, at most so many; None where there is one or none."""
    gpus = tf.config.list_logical_devices("GPU")[:most]
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus]) if len(gpus) > 1 else None


def placed(use_gpu: bool) -> AbstractContextManager[object]:
    """A context in which TensorFlow works where it likes, or on the CPU only."""
    context: AbstractContextManager[object] = nullcontext() if use_gpu else tf.device("/CPU:0")
    return context
