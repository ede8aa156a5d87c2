"""The C kernels compute what their scalar references and plain formulas say, with each instruction set."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_code import compile_library
from native_models import BUILDS, LANES
from numpy.typing import NDArray

from dpr_tiny_retriever.model.config import Activation

pytestmark = pytest.mark.also_sanitize

Floats = NDArray[np.float32]


@pytest.fixture(scope="module", params=BUILDS)
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """native_kernels.c compiled for one build; `panel` is how many columns its matrices are padded to."""
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    compile_library(Path(__file__).with_name("native_kernels.c"), library, request.param)
    loaded: Any = ctypes.CDLL(str(library))
    loaded.panel = 2 * LANES[request.param]
    return loaded


def pointer(array: Floats | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def small_integers(rng: np.random.Generator, *shape: int) -> Floats:
    """Their sums of products are exact in float32, in whatever order they are added."""
    return rng.integers(-8, 9, shape).astype(np.float32)


@pytest.mark.posix
@pytest.mark.parametrize("depth", [1, 2, 33, 512])
@pytest.mark.parametrize(("with_bias", "with_residual"), [(False, False), (True, False), (False, True), (True, True)])
def test_gemm_equals_its_reference(kernels: Any, depth: int, with_bias: bool, with_residual: bool) -> None:
    rng = np.random.default_rng(depth)
    for rows in (*range(1, 14), 24, 25, 37):
        cols, a_stride, out_stride = 3 * kernels.panel, depth + 3, 3 * kernels.panel + 5
        a, b = small_integers(rng, rows, a_stride), small_integers(rng, 3, depth, kernels.panel)
        bias = small_integers(rng, cols) if with_bias else None
        residual = small_integers(rng, rows, out_stride) if with_residual else None
        expected = a[:, :depth] @ np.concatenate(list(b), axis=1)
        expected = expected + (0 if bias is None else bias) + (0 if residual is None else residual[:, :cols])
        for function in (kernels.test_gemm, kernels.test_gemm_reference):
            out = np.full((rows, out_stride), 99, np.float32)
            sizes = [ctypes.c_size_t(size) for size in (depth * kernels.panel, kernels.panel)]
            function(
                *map(ctypes.c_size_t, (rows, depth, cols)),
                *(pointer(a), ctypes.c_size_t(a_stride), pointer(b), *sizes),
                *(pointer(bias), pointer(residual), pointer(out), ctypes.c_size_t(out_stride)),
            )
            np.testing.assert_array_equal(out[:, :cols], expected)
            assert (out[:, cols:] == 99).all()


@pytest.mark.posix
@pytest.mark.parametrize("tokens", [1, 2, 7, 32, 33, 100])
@pytest.mark.parametrize(("width", "heads"), [(64, 1), (128, 2), (192, 3)])
def test_attention_equals_its_reference(kernels: Any, tokens: int, width: int, heads: int) -> None:
    qkv = np.random.default_rng(tokens).normal(size=(tokens, 3 * width)).astype(np.float32)
    qkv[:, :width] /= math.sqrt(width // heads)  # scores of about 1
    context, reference = np.empty((2, tokens, width), np.float32)
    for function, out in ((kernels.test_attention, context), (kernels.test_attention_reference, reference)):
        function(*map(ctypes.c_size_t, (tokens, width, heads)), pointer(qkv), pointer(out))
    np.testing.assert_allclose(context, reference, rtol=0, atol=2e-6)


@pytest.mark.posix
def test_softmax_numerators_are_relative_to_the_largest_score(kernels: Any) -> None:
    scores = np.random.default_rng(0).integers(-80, 80, (9, 2 * kernels.panel)).astype(np.float32) / 2
    scores[0] = 1e30
    scores[1, 3:] = -1e30
    expected = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    sums = np.empty(9, np.float32)
    kernels.test_softmax_numerators(*map(ctypes.c_size_t, scores.shape), pointer(scores), pointer(sums))
    np.testing.assert_allclose(scores, expected, rtol=3e-7, atol=2e-38)
    np.testing.assert_allclose(sums, expected.sum(axis=1), rtol=1e-6)


@pytest.mark.posix
def test_layer_norm_is_that_of_the_paper_without_its_offset(kernels: Any) -> None:
    rng = np.random.default_rng(0)
    rows, scale = rng.normal(3, 2, (5, 192)).astype(np.float32), rng.normal(size=192).astype(np.float32)
    exact = rows.astype(np.float64)
    centered = exact - exact.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt(exact.var(axis=1, keepdims=True) + 0.1) * scale
    kernels.test_layer_norm(*map(ctypes.c_size_t, rows.shape), ctypes.c_float(0.1), pointer(scale), pointer(rows))
    np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-6)


def normal_distribution(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


@pytest.mark.posix
@pytest.mark.parametrize(
    ("activation", "exact", "error"),
    [
        (Activation.GELU, lambda x: x * normal_distribution(x), 3e-7),
        (Activation.GELU_TANH, lambda x: x * logistic(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)), 5e-7),
        (Activation.RELU, lambda x: max(x, 0), 0),
        (Activation.SILU, lambda x: x * logistic(x), 5e-7),
        (Activation.TANH, math.tanh, 5e-7),
    ],
)
def test_activations_are_exact_to_their_error(kernels: Any, activation: Activation, exact: Any, error: float) -> None:
    x = np.concatenate([np.linspace(-12, 12, 24_000), [-1e30, -300, -90, -0.0, 90, 300, 1e30]]).astype(np.float32)
    x = np.resize(x, -(-len(x) // kernels.panel) * kernels.panel)
    out = x.copy()
    kernels.test_activate(int(activation), ctypes.c_size_t(len(out)), pointer(out))
    moderate = np.abs(x) <= 300
    expected = np.array([exact(value) for value in x[moderate].tolist()])
    np.testing.assert_array_less(np.abs(out[moderate] - expected), error * np.maximum(1, np.abs(x[moderate])) + 1e-12)
    np.testing.assert_array_equal(np.isfinite(out), True)


@pytest.mark.posix
def test_nan_stays_nan(kernels: Any) -> None:
    for activation in Activation:
        out = np.full(kernels.panel, np.nan, np.float32)
        kernels.test_activate(int(activation), ctypes.c_size_t(len(out)), pointer(out))
        assert np.isnan(out).all(), activation
    scores, sums = np.zeros((1, kernels.panel), np.float32), np.zeros(1, np.float32)
    scores[0, 1] = np.nan
    kernels.test_softmax_numerators(*map(ctypes.c_size_t, scores.shape), pointer(scores), pointer(sums))
    assert np.isnan(sums).all()
