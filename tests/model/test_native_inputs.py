"""What C would misread or miswrite is refused before it is called, and nothing but the given arrays is touched."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native_models import BUILDS, native, tokens, vectors_of
from numpy.typing import NDArray

from dpr_tiny_retriever.model.bert_native import NativeBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

pytestmark = pytest.mark.also_sanitize


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
        vectors_of(native(small, build), bad)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("length", "shown"), [(513, "3 to 513"), (0, "0 to 3"), (-5, "-5 to 3")])
def test_a_text_of_a_length_that_the_model_cannot_read_is_refused(
    small: tuple[BertConfig, BertWeights], build: str, length: int, shown: str
) -> None:
    given = tokens(3, max(length, 0))._replace(lengths=np.array([3, length], np.int32))
    with pytest.raises(ValueError, match=rf"in texts of {shown} tokens; .* in texts of 1 to 512 tokens"):
        vectors_of(native(small, build), given)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("count", [6, 8])
def test_another_number_of_ids_than_the_lengths_say_is_refused(
    small: tuple[BertConfig, BertWeights], build: str, count: int
) -> None:
    given = tokens(3, 4)._replace(ids=np.zeros(count, np.int32))
    with pytest.raises(ValueError, match=rf"^{count} token ids were given; expected 7, the sum of the lengths$"):
        vectors_of(native(small, build), given)


@pytest.mark.parametrize("name", ["ids", "lengths", "segment_starts"])
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda array: array.astype(np.int64), TypeError, "is an array of int64; expected a numpy array of int32"),
        (lambda array: array.astype(">i4"), TypeError, "is an array of >i4; expected a numpy array of int32"),
        (
            lambda array: array.astype(np.float32),
            TypeError,
            "is an array of float32; expected a numpy array of int32",
        ),
        (lambda array: array.tolist(), TypeError, "is of type list; expected a numpy array of int32"),
        (lambda array: array[::2], ValueError, r"and strides \(8,\); expected ndim 1, contiguous and aligned"),
        (lambda array: array[None], ValueError, "expected ndim 1, contiguous and aligned"),
        (lambda array: np.frombuffer(b"." + array.tobytes(), np.int32, offset=1), ValueError, "contiguous and aligned"),
    ],
)
def test_tokens_that_c_would_misread_are_refused(
    small: tuple[BertConfig, BertWeights], name: str, wrong: Any, error: type[Exception], message: str
) -> None:
    given = tokens(3, 4, 5)
    with pytest.raises(error, match=rf"^tokens\.{name} .*{message}"):
        NativeBert(*small).forward_into(
            np.zeros((3, 128), np.float32), given._replace(**{name: wrong(getattr(given, name))})
        )


def test_a_segment_start_is_needed_for_every_text(small: tuple[BertConfig, BertWeights]) -> None:
    given = tokens(3, 4)._replace(segment_starts=np.zeros(1, np.int32))
    with pytest.raises(ValueError, match=r"^2 texts have 1 segment starts; expected as many$"):
        vectors_of(NativeBert(*small), given)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (
            np.zeros((2, 128), np.float64),
            TypeError,
            "vectors is an array of float64; expected a numpy array of float32",
        ),
        (
            np.zeros((3, 128), np.float32),
            ValueError,
            r"vectors has shape \(3, 128\) and is writable; expected shape \(2, 12",
        ),
        (
            np.zeros((2, 127), np.float32),
            ValueError,
            r"vectors has shape \(2, 127\) and is writable; expected shape \(2, 12",
        ),
        (np.zeros(256, np.float32), ValueError, "expected ndim 2, contiguous and aligned"),
        (np.zeros((2, 256), np.float32)[:, ::2], ValueError, "expected ndim 2, contiguous and aligned"),
        (np.zeros((128, 2), np.float32).T, ValueError, "expected ndim 2, contiguous and aligned"),
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
    np.testing.assert_array_equal(out, vectors_of(native(small, build), given))


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
