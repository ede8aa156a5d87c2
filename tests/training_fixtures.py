"""A teacher and two replicas, for the tests of training and of recipes."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import tensorflow as tf
from model_folders import bert_record, write_model

from dpr_tiny_retriever import DualEncoder

# Two devices of one processor, so that what is gathered over replicas can be compared with one. They can only be made
# before TensorFlow starts to work.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session")
def teacher_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same vocabulary, 32 wide, one for both sides."""
    return write_model(tmp_path_factory.mktemp("teacher"), bert_record(layers=1, width=32), seed=5)


@pytest.fixture(scope="session")
def teacher(teacher_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(teacher_directory, pooling="mean", normalize=True)


@pytest.fixture(scope="session")
def strategy() -> tf.distribute.Strategy:
    return _two_replicas()


@functools.cache
def _two_replicas() -> tf.distribute.Strategy:
    """Two replicas on two devices. One for the process: the collectives of a second one would mix with its own."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
