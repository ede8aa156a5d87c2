"""Which backend an encoder uses by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from model_folders import bert_arrays, bert_record, write_model

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.model import runner as forward
from dpr_tiny_retriever.model.bert_native import NativeBert
from dpr_tiny_retriever.model.bert_numpy import NumpyBert

pytestmark = pytest.mark.tensorflow


def test_the_native_library_is_used_where_it_fits(encoder: Encoder) -> None:
    assert isinstance(encoder._forward._light, NativeBert)
    assert encoder._forward._light is encoder._forward._compiled


def test_a_model_that_no_library_can_hold_is_encoded_without_one(tmp_path: Path) -> None:
    record = bert_record(width=48, heads=3, intermediate_size=100)
    odd = Encoder.from_pretrained(write_model(tmp_path, record, bert_arrays(record)), side="passage")
    assert isinstance(odd._forward._light, NumpyBert)
    assert odd.encode(["the city", ("the tower", "of the river")]).shape == (2, 48)


@pytest.mark.parametrize(
    ("how", "compiled_does_all"),
    [
        ({}, True),
        ({"device": "/CPU:0"}, True),
        ({"device": "/device:cpu:0"}, True),
        ({"device": "/job:cpu/device:GPU:0"}, False),
        ({"device": "/GPU:0"}, False),
        ({"precision": "bfloat16"}, False),
    ],
)
def test_another_device_or_half_precision_is_for_the_graph(
    encoder: Encoder, how: dict[str, Any], compiled_does_all: bool
) -> None:
    made = Encoder(encoder.config, encoder.weights, encoder.tokenizer, max_length=16, **how)
    assert made._forward._without_graph is compiled_does_all


@pytest.mark.parametrize("tensorflow_sees_it", [False, True])
def test_a_gpu_is_used_where_tensorflow_sees_it(
    pair_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tensorflow_sees_it: bool
) -> None:
    (tmp_path / "nvidia3").touch()
    monkeypatch.setattr(forward, "_GPUS", (str(tmp_path / "nvidia[0-9]*"),))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] if tensorflow_sees_it else [])
    fresh = Encoder.from_pretrained(pair_directory, side="passage")
    assert fresh._forward._without_graph is not tensorflow_sees_it
    on_cpu = Encoder.from_pretrained(pair_directory, side="passage", device="/CPU:0")
    assert on_cpu._forward._without_graph
