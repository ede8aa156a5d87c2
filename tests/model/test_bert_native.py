"""The compiled library: which one is used and when, and what it says of tokens that a model does not have.

That its vectors are BERT's, with each set of instructions, is tested in test_vectors.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from model_folders import bert_arrays, bert_record, write_model

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.model import runner as forward
from dpr_tiny_retriever.model.bert_native import CompiledBert, _runnable, libraries
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import Dense
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

pytestmark = pytest.mark.tensorflow

LANES = [library.lanes() for library in _runnable()]


def tokens(*lengths: int) -> Tokens:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 100, sum(lengths)).astype(np.int32)
    return Tokens(ids, np.array(lengths, np.int32), np.array(lengths, np.int32) // 3, num_truncated=0)


def compiled(encoder: Encoder, lanes: int) -> CompiledBert:
    (library,) = (library for library in _runnable() if library.lanes() == lanes)
    return CompiledBert(library, encoder.config, encoder.weights)


def test_the_package_was_compiled_and_the_fastest_library_is_used(encoder: Encoder) -> None:
    fitting = libraries(encoder.config)
    assert fitting, "nothing was compiled: expected a C compiler when the package was installed"
    assert sorted(LANES, reverse=True) == LANES
    assert fitting == [library for library in _runnable() if library.worth_while()]
    forward = encoder._forward
    assert forward._light is forward._compiled
    assert isinstance(forward._light, CompiledBert)
    assert forward._light.lanes == LANES[0]


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
def test_texts_have_the_same_vectors_in_every_group(pair_directory: Path, lanes: int, pooling: str) -> None:
    """Groups are of some hundred tokens; attention, and the last layer, go text by text."""
    encoder = Encoder.from_pretrained(pair_directory, side="passage", pooling=pooling)
    bert = compiled(encoder, lanes)
    together = tokens(3, 300, 1, 2, 500, 7, 16, 17, 31, 32, 33, 64, 120, 13, *range(1, 60))
    vectors = bert.encode(together)
    ends = np.cumsum(together.lengths)
    for row, end in enumerate(ends):
        one = slice(row, row + 1)
        ids = together.ids[end - together.lengths[row] : end]
        alone = bert.encode(Tokens(ids, together.lengths[one], together.segment_starts[one], num_truncated=0))
        np.testing.assert_array_equal(vectors[one], alone)
    light = NumpyBert(encoder.config, encoder.weights)
    np.testing.assert_allclose(vectors, light.encode(together), rtol=0, atol=1e-5)


@pytest.mark.parametrize("lanes", LANES)
def test_no_texts_have_no_vectors(encoder: Encoder, lanes: int) -> None:
    assert compiled(encoder, lanes).encode(tokens()).shape == (0, encoder.embedding_dim)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_a_token_that_the_model_does_not_have_is_refused(encoder: Encoder, lanes: int, wrong: int) -> None:
    bad = tokens(3, 4)
    bad.ids[5] = wrong
    last = encoder.config.vocab_size - 1
    with pytest.raises(ValueError, match=rf"token ids .*{wrong}.*this model knows 0 to {last} in texts of 1 to 512"):
        compiled(encoder, lanes).encode(bad)


@pytest.mark.parametrize("lanes", LANES)
def test_a_text_longer_than_the_model_can_read_is_refused(encoder: Encoder, lanes: int) -> None:
    with pytest.raises(ValueError, match=r"in texts of 3 to 513; this model knows .* in texts of 1 to 512"):
        compiled(encoder, lanes).encode(tokens(3, 513))
    with pytest.raises(ValueError, match=r"in texts of 0 to 3; this model knows .* in texts of 1 to 512"):
        compiled(encoder, lanes).encode(tokens(3, 0))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"intermediate_size": 3072}, r"\(128, 512\); by the configuration it is \(128, 3072\)"),
        ({"projection_dim": 400}, r"\(128, 40\); by the configuration it is \(128, 400\)"),
        ({"projection_dim": 0}, r"\(128, 40\); by the configuration it is \(128, 128\)"),
    ],
)
def test_weights_of_another_shape_than_the_configuration_are_refused(
    encoder: Encoder, changes: dict[str, int], found: str
) -> None:
    """The library would read beyond their end."""
    projection = Dense(np.zeros((128, 40), np.float32), np.zeros(40, np.float32))
    config = replace(encoder.config, **{"projection_dim": 40, **changes})
    with pytest.raises(ValueError, match=found):
        Encoder(config, encoder.weights._replace(projection=projection), encoder.tokenizer, max_length=16)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normalize", [False, True])
def test_weights_that_are_no_numbers_give_vectors_that_are_none(
    encoder: Encoder, lanes: int, bad: float, normalize: bool
) -> None:
    config = replace(encoder.config, pooling="cls", normalize=normalize)
    for name in ("query_key_value", "intermediate", "output"):
        dense = getattr(encoder.weights.layers[0], name)
        kernel = dense.kernel.copy()
        kernel[3, 5] = bad
        layer = encoder.weights.layers[0]._replace(**{name: dense._replace(kernel=kernel)})
        weights = encoder.weights._replace(layers=(layer, *encoder.weights.layers[1:]))
        (library,) = (library for library in _runnable() if library.lanes() == lanes)
        assert not np.isfinite(CompiledBert(library, config, weights).encode(tokens(7, 30))).any()


def test_a_model_that_no_library_can_hold_is_encoded_without_one(tmp_path: Path) -> None:
    record = bert_record(width=48, heads=3, intermediate_size=100)
    odd = Encoder.from_pretrained(write_model(tmp_path, record, bert_arrays(record)), side="passage")
    assert libraries(odd.config) == []
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
