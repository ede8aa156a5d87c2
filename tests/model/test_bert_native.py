"""BERT in C: which build runs a model, equal vectors however texts are grouped, and what is refused before C reads it.

That its vectors are BERT's is tested with those of the other backends in test_vectors.
"""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import bert_arrays, bert_record, write_model
from numpy.typing import NDArray

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.model.bert_native import (
    NativeBert,
    available_builds,
    cpu_simd_width,
    fitting_builds,
    preferred_over_numpy,
    unavailable_builds,
    unsupported,
)
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

BUILDS = available_builds()
LANES = {"avx512": 16, "avx2": 8, "base": 4}


def tokens(*lengths: int) -> Tokens:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 100, sum(lengths)).astype(np.int32)
    return Tokens(ids, np.array(lengths, np.int32), np.array(lengths, np.int32) // 3, num_truncated=0)


def model(folder: Path, *, pooling: Any = None, **changes: Any) -> tuple[BertConfig, BertWeights]:
    record = bert_record(**changes)
    encoder = Encoder.from_pretrained(
        write_model(folder, record, bert_arrays(record)), side="passage", pooling=pooling, backend="numpy"
    )
    return encoder.config, encoder.weights


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[BertConfig, BertWeights]:
    """Two layers, 128 wide, heads of 64: every build can run it."""
    return model(tmp_path_factory.mktemp("model"))


def native(small: tuple[BertConfig, BertWeights], build: str) -> NativeBert:
    config, weights = small
    return NativeBert(config, weights, build=build)


def test_the_package_was_compiled_and_the_fastest_build_is_used(small: tuple[BertConfig, BertWeights]) -> None:
    assert "base" in BUILDS, f"no C compiler when the package was installed? {dict(unavailable_builds())}"
    assert list(BUILDS) == sorted(BUILDS, key=LANES.__getitem__, reverse=True)
    assert cpu_simd_width() == max(LANES[build] for build in BUILDS)
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
    assert preferred_over_numpy(config) is any(LANES[build] == 8 for build in BUILDS)


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
    vectors = bert.forward(together)
    ends = np.cumsum(together.lengths)
    for row, end in enumerate(ends):
        one = slice(row, row + 1)
        ids = together.ids[end - together.lengths[row] : end]
        alone = bert.forward(Tokens(ids, together.lengths[one], together.segment_starts[one], num_truncated=0))
        np.testing.assert_array_equal(vectors[one], alone)
    np.testing.assert_allclose(vectors, NumpyBert(config, weights).forward(together), rtol=0, atol=1e-5)


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
    expected = NumpyBert(config, weights).forward(texts)
    vectors = NativeBert(config, weights, build=build).forward(texts)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=2e-5)  # each is within 1e-5 of the exact vectors


@pytest.mark.parametrize("build", BUILDS)
def test_no_texts_have_no_vectors(small: tuple[BertConfig, BertWeights], build: str) -> None:
    assert native(small, build).forward(tokens()).shape == (0, small[0].embedding_dim)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_a_token_that_the_model_does_not_have_is_refused(
    small: tuple[BertConfig, BertWeights], build: str, wrong: int
) -> None:
    bad = tokens(3, 4)
    bad.ids[5] = wrong
    last = small[0].vocab_size - 1
    with pytest.raises(
        ValueError, match=rf"token ids are .*{wrong}.*this model takes ids of 0 to {last} in texts of 1"
    ):
        native(small, build).forward(bad)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("length", "shown"), [(513, "3 to 513"), (0, "0 to 3"), (-5, "-5 to 3")])
def test_a_text_of_a_length_that_the_model_cannot_read_is_refused(
    small: tuple[BertConfig, BertWeights], build: str, length: int, shown: str
) -> None:
    given = tokens(3, max(length, 0))._replace(lengths=np.array([3, length], np.int32))
    with pytest.raises(ValueError, match=rf"in texts of {shown} tokens; .* in texts of 1 to 512 tokens"):
        native(small, build).forward(given)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("count", [6, 8])
def test_another_number_of_ids_than_the_lengths_say_is_refused(
    small: tuple[BertConfig, BertWeights], build: str, count: int
) -> None:
    given = tokens(3, 4)._replace(ids=np.zeros(count, np.int32))
    with pytest.raises(ValueError, match=rf"^{count} token ids were given; expected 7, the sum of the lengths$"):
        native(small, build).forward(given)


@pytest.mark.parametrize("name", ["ids", "lengths", "segment_starts"])
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda array: array.astype(np.int64), TypeError, "is of type int64 array; expected a numpy array of int32"),
        (lambda array: array.astype(">i4"), TypeError, "is of type >i4 array; expected a numpy array of int32"),
        (
            lambda array: array.astype(np.float32),
            TypeError,
            "is of type float32 array; expected a numpy array of int32",
        ),
        (lambda array: array.tolist(), TypeError, "is of type list; expected a numpy array of int32"),
        (lambda array: array[::2], ValueError, r"and strides \(8,\); expected 1 dimensions in contiguous, aligned mem"),
        (lambda array: array[None], ValueError, "expected 1 dimensions in contiguous, aligned memory"),
        (lambda array: np.frombuffer(b"." + array.tobytes(), np.int32, offset=1), ValueError, "aligned memory"),
    ],
)
def test_tokens_that_c_would_misread_are_refused(
    small: tuple[BertConfig, BertWeights], name: str, wrong: Any, error: type[Exception], message: str
) -> None:
    given = tokens(3, 4, 5)
    with pytest.raises(error, match=rf"^tokens\.{name} .*{message}"):
        NativeBert(*small).forward(given._replace(**{name: wrong(getattr(given, name))}))


def test_a_segment_start_is_needed_for_every_text(small: tuple[BertConfig, BertWeights]) -> None:
    given = tokens(3, 4)._replace(segment_starts=np.zeros(1, np.int32))
    with pytest.raises(ValueError, match=r"^2 texts have 1 segment starts; expected as many$"):
        NativeBert(*small).forward(given)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros((2, 128), np.float64), TypeError, "out is of type float64 array; expected a numpy array of float32"),
        (
            np.zeros((3, 128), np.float32),
            ValueError,
            r"out has shape \(3, 128\) and is writable; expected shape \(2, 12",
        ),
        (
            np.zeros((2, 127), np.float32),
            ValueError,
            r"out has shape \(2, 127\) and is writable; expected shape \(2, 12",
        ),
        (np.zeros(256, np.float32), ValueError, "expected 2 dimensions in contiguous, aligned memory"),
        (np.zeros((2, 256), np.float32)[:, ::2], ValueError, "expected 2 dimensions in contiguous, aligned memory"),
        (np.zeros((128, 2), np.float32).T, ValueError, "expected 2 dimensions in contiguous, aligned memory"),
    ],
)
def test_an_output_that_c_would_miswrite_is_refused_and_left_alone(
    small: tuple[BertConfig, BertWeights], out: NDArray[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        NativeBert(*small).forward_into(out, tokens(3, 4))
    assert not out.any()


def test_a_read_only_output_is_not_written(small: tuple[BertConfig, BertWeights]) -> None:
    out = np.zeros((2, 128), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"is read-only; expected shape \(2, 128\), writable"):
        NativeBert(*small).forward_into(out, tokens(3, 4))
    assert not out.any()


@pytest.mark.parametrize("build", BUILDS)
def test_nothing_beyond_the_inputs_and_the_output_is_touched(small: tuple[BertConfig, BertWeights], build: str) -> None:
    """Each array ends where a page begins that may be neither read nor written: touching it ends the process."""
    config, weights = small
    embeddings = weights.embeddings._replace(
        word=before_guard_page(weights.embeddings.word), position=before_guard_page(weights.embeddings.position)
    )
    bert = NativeBert(config, weights._replace(embeddings=embeddings), build=build)
    given = tokens(512, 1, 33, 7)
    given.ids[:4] = config.vocab_size - 1
    guarded = Tokens(*map(before_guard_page, given[:3]), num_truncated=0)
    out = before_guard_page(np.zeros((4, 128), np.float32))
    bert.forward_into(out, guarded)
    np.testing.assert_array_equal(out, native(small, build).forward(given))


def before_guard_page(array: NDArray[Any]) -> NDArray[Any]:
    """A copy whose last byte is the last before a page without any access."""
    size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    no_access = 0
    assert libc.mprotect(start + size, mmap.PAGESIZE, no_access) == 0
    copy = np.frombuffer(memory, array.dtype, array.size, offset=size - array.nbytes).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"intermediate_size": 3072}, r"\(128, 512\); by the configuration it is \(128, 3072\)"),
        ({"projection_dim": 400}, r"\(128, 40\); by the configuration it is \(128, 400\)"),
        ({"projection_dim": 0}, r"\(128, 40\); by the configuration it is \(128, 128\)"),
    ],
)
def test_weights_of_another_shape_than_the_configuration_are_refused(
    small: tuple[BertConfig, BertWeights], changes: dict[str, int], found: str
) -> None:
    """The library would read beyond their end."""
    config, weights = small
    projection = Dense(np.zeros((128, 40), np.float32), np.zeros(40, np.float32))
    with pytest.raises(ValueError, match=found):
        NativeBert(replace(config, **{"projection_dim": 40, **changes}), weights._replace(projection=projection))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normalize", [False, True])
def test_weights_that_are_nan_or_infinite_give_vectors_of_nan(
    small: tuple[BertConfig, BertWeights], build: str, bad: float, normalize: bool
) -> None:
    config, weights = replace(small[0], pooling="cls", normalize=normalize), small[1]
    for name in ("query_key_value", "intermediate", "output"):
        dense = getattr(weights.layers[0], name)
        kernel = dense.kernel.copy()
        kernel[3, 5] = bad
        layer = weights.layers[0]._replace(**{name: dense._replace(kernel=kernel)})
        broken = weights._replace(layers=(layer, *weights.layers[1:]))
        assert np.isnan(NativeBert(config, broken, build=build).forward(tokens(7, 30))).all(), name
