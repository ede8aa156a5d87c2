from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from model_folders import bert_record, write_model, write_pair
from training_data import records

from dpr_tiny_retriever import DualEncoder

# Two devices of one processor, so that what is gathered over replicas can be compared with one. They can only be made
# before TensorFlow starts to work.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session")
def write_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[dict[str, Any]]], Path]:
    """Write records as DPR JSON."""

    def write(found: list[dict[str, Any]]) -> Path:
        path = tmp_path_factory.mktemp("data") / "train.json"
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def data(write_data: Callable[[list[dict[str, Any]]], Path]) -> Path:
    """24 examples as DPR JSON."""
    return write_data(records())


@pytest.fixture(scope="session")
def small_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of one layer, 16 wide, with random weights."""
    return write_pair(tmp_path_factory.mktemp("small"), layers=1, width=16)


@pytest.fixture(scope="session")
def small_pair(small_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(small_directory)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    """Another model of the same vocabulary, 32 wide, one for both sides."""
    directory = write_model(tmp_path_factory.mktemp("teacher"), bert_record(layers=1, width=32), seed=5)
    return DualEncoder.from_pretrained(directory, pooling="mean", normalize=True)


@pytest.fixture(scope="session")
def strategy() -> tf.distribute.Strategy:
    """Two replicas on two devices. One for the process: the collectives of a second one would mix with its own."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
