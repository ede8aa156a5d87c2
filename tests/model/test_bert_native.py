"""BERT in C: which build runs a model, equal vectors however texts are grouped, and what is refused before C reads it.

That its vectors are BERT's is tested with those of the other backends in test_vectors.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_models import BUILDS, LANES, model, native, tokens, vectors_of

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.model.bert_native import (
    NativeBert,
    fitting_builds,
    preferred_over_numpy,
    unsupported,
)
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense
from dpr_tiny_retriever.model.native_library import native_libraries, unavailable_builds
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

pytestmark = pytest.mark.also_sanitize


def test_the_package_was_compiled_and_the_fastest_build_is_used(small: tuple[BertConfig, BertWeights]) -> None:
    assert "base" in BUILDS, f"no C compiler when the package was installed? {dict(unavailable_builds())}"
    assert list(BUILDS) == sorted(BUILDS, key=LANES.__getitem__, reverse=True)
    assert {*BUILDS, *unavailable_builds()} == LANES.keys()
    assert NativeBert(*small).build == native(small, BUILDS[0]).build


@pytest.mark.parametrize("build", BUILDS)
def test_a_build_is_shown_by_its_instruction_set(small: tuple[BertConfig, BertWeights], build: str) -> None:
    expected = {"avx512": {"AVX-512"}, "avx2": {"AVX2"}, "base": {"NEON", "baseline"}}
    assert native(small, build).build in expected[build]


def test_a_build_of_wider_vectors_than_heads_is_passed_over() -> None:
    config = BertConfig(hidden_size=128, num_attention_heads=8, intermediate_size=512)  # heads of 16 floats
    assert fitting_builds(config) == [build for build in BUILDS if build != "avx512"]
    assert unsupported(config) is None
    assert preferred_over_numpy(config) is ("avx2" in BUILDS or native_libraries()["base"].instruction_set == "NEON")


@pytest.mark.parametrize("build", [None, "base"])
def test_why_a_model_cannot_be_run_is_said_in_words(small: tuple[BertConfig, BertWeights], build: str | None) -> None:
    config = replace(small[0], hidden_size=36, num_attention_heads=3, intermediate_size=100)
    reason = (
        "a model with heads of 12 floats and an intermediate_size of 100 does not fit the native library: both must be "
        "multiples of 8"
    )
    assert unsupported(config, build) == reason
    assert fitting_builds(config) == []
    assert not preferred_over_numpy(config)
    with pytest.raises(ValueError, match=reason):
        NativeBert(config, small[1], build=build)


def test_a_build_that_there_is_not_is_refused(small: tuple[BertConfig, BertWeights]) -> None:
    with pytest.raises(ValueError, match=r"^build is 'sse9'; expected one of avx512, avx2, base$"):
        native(small, "sse9")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
def test_texts_have_the_same_vectors_in_every_group(tmp_path: Path, build: str, pooling: str) -> None:
    """Groups are of some hundred tokens; attention, and the last layer, go text by text."""
    config, weights = model(tmp_path, pooling=pooling)
    bert = NativeBert(config, weights, build=build)
    together = tokens(3, 300, 1, 2, 500, 7, 16, 17, 31, 32, 33, 64, 120, 13, *range(1, 60))
    vectors = vectors_of(bert, together)
    ends = np.cumsum(together.lengths)
    for row, end in enumerate(ends):
        one = slice(row, row + 1)
        ids = together.ids[end - together.lengths[row] : end]
        alone = vectors_of(bert, Tokens(ids, together.lengths[one], together.segment_starts[one], num_truncated=0))
        np.testing.assert_array_equal(vectors[one], alone)
    np.testing.assert_allclose(vectors, vectors_of(NumpyBert(config, weights), together), rtol=0, atol=1e-5)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 1},
        {"layers": 12, "width": 64},
        {"width": 192, "heads": 6, "intermediate_size": 96},
        {"width": 32, "heads": 1},
        {"width": 64, "hidden_act": "gelu_new"},
        {"width": 64, "hidden_act": "relu"},
        {"width": 64, "hidden_act": "silu"},
        {"width": 64, "hidden_act": "tanh"},
        {"width": 64, "type_vocab_size": 1},
        {"width": 64, "projection_dim": 40, "normalize": True},
        {"width": 64, "projection_dim": 40, "pooling": "mean"},
    ],
)
def test_vectors_are_those_of_numpy(tmp_path: Path, build: str, changes: dict[str, Any]) -> None:
    how = {name: changes[name] for name in ("projection_dim", "normalize") if name in changes}
    config, weights = model(tmp_path, **{name: changes[name] for name in changes if name not in how})
    config = replace(config, **how)
    if config.projection_dim:
        rng = np.random.default_rng(3)
        kernel = rng.normal(0, 0.1, (config.hidden_size, 40)).astype(np.float32)
        weights = weights._replace(projection=Dense(kernel, rng.normal(size=40).astype(np.float32)))
    if build not in fitting_builds(config):
        assert "does not fit" in str(unsupported(config, build))
        return
    texts = tokens(1, 2, 3, 5, 31, 32, 33, 130)
    expected = vectors_of(NumpyBert(config, weights), texts, config.embedding_dim)
    vectors = vectors_of(NativeBert(config, weights, build=build), texts, config.embedding_dim)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=2e-5)  # each is within 1e-5 of the exact vectors


@pytest.mark.parametrize("build", BUILDS)
def test_no_texts_have_no_vectors(small: tuple[BertConfig, BertWeights], build: str) -> None:
    assert vectors_of(native(small, build), tokens()).shape == (0, 128)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normalize", [False, True])
def test_weights_that_are_nan_or_infinite_are_an_error_of_every_text(
    small: tuple[BertConfig, BertWeights], build: str, bad: float, normalize: bool
) -> None:
    config, weights = replace(small[0], pooling="cls", normalize=normalize), small[1]
    for name in ("query_key_value", "intermediate", "output"):
        dense = getattr(weights.layers[0], name)
        kernel = dense.kernel.copy()
        kernel[3, 5] = bad
        layer = weights.layers[0]._replace(**{name: dense._replace(kernel=kernel)})
        broken = weights._replace(layers=(layer, *weights.layers[1:]))
        vectors = np.zeros((2, 128), np.float32)
        with pytest.raises(CheckpointError, match="not finite"):
            NativeBert(config, broken, build=build).forward_into(vectors, tokens(7, 30))
        assert np.isnan(vectors).all(), name
