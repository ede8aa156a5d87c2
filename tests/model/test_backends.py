"""Which backend runs a model: by itself, by name, by the environment; and why one cannot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, Encoder, MissingExtraError
from dpr_tiny_retriever.model.native_library import available_builds

pytestmark = pytest.mark.also_modern

MANY = [("the tower", "the city of the river " * 20)] * 20


@pytest.fixture
def no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a base installation, whatever is installed here."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)


def load(folder: Path, **options: Any) -> Encoder:
    return Encoder.from_pretrained(folder, side="passage", **options)


def test_native_code_runs_everything_where_it_fits(pair_directory: Path) -> None:
    assert available_builds(), "no native library: expected a C compiler when the package was installed"
    backend = load(pair_directory).backend
    assert backend.startswith("native (")
    for options in ({"device": "/CPU:0"}, {"device": "/device:cpu:0"}, {"backend": "native"}):
        assert load(pair_directory, **options).backend == backend
    assert DualEncoder.from_pretrained(pair_directory).backend == backend


@pytest.mark.usefixtures("no_tensorflow")
def test_numpy_runs_everything_where_there_is_nothing_else(odd_directory: Path) -> None:
    encoder = load(odd_directory)
    assert encoder.backend == "numpy"
    assert encoder.encode(MANY).shape == (20, 48)


def test_a_named_backend_runs_everything(pair_directory: Path) -> None:
    named, chosen = load(pair_directory, backend="numpy"), load(pair_directory)
    assert named.backend == "numpy"
    for texts in (MANY[:1], MANY):
        np.testing.assert_allclose(named.encode(texts), chosen.encode(texts), rtol=0, atol=1e-5)
    assert named.fingerprint() == chosen.fingerprint()


def test_the_environment_names_the_backend_that_is_chosen_by_itself(
    pair_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPR_TINY_BACKEND", "numpy")
    assert load(pair_directory).backend == "numpy"
    assert load(pair_directory, backend="native").backend.startswith("native (")
    monkeypatch.setenv("DPR_TINY_BACKEND", " \n")
    assert load(pair_directory).backend.startswith("native (")


@pytest.mark.parametrize("build", available_builds())
def test_the_environment_names_a_build_of_the_native_library(
    pair_directory: Path, monkeypatch: pytest.MonkeyPatch, build: str
) -> None:
    monkeypatch.setenv("DPR_TINY_BACKEND", f"native:{build}")
    names = {"avx512": "AVX-512", "avx2": "AVX2"}
    assert load(pair_directory).backend in (f"native ({names.get(build)})", "native (baseline)", "native (NEON)")


@pytest.mark.parametrize("value", ["torch", "numpy:avx2", "NUMPY"])
def test_another_value_in_the_environment_is_refused(
    pair_directory: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DPR_TINY_BACKEND", value)
    message = f"the environment variable DPR_TINY_BACKEND is '{value}'; expected one of auto, native, tensorflow, numpy"
    with pytest.raises(ValueError, match=message):
        load(pair_directory)


def test_native_code_that_cannot_hold_a_model_says_why(odd_directory: Path) -> None:
    with pytest.raises(ValueError, match="heads of 16 floats and an intermediate_size of 100 does not fit the native"):
        load(odd_directory, backend="native")


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    ("option", "found"),
    [({"precision": "bfloat16"}, "precision is 'bfloat16'"), ({"device": "/GPU:0"}, "device is '/GPU:0'")],
)
def test_what_only_tensorflow_does_is_refused_with_another_backend(
    pair_directory: Path, backend: str, option: dict[str, Any], found: str
) -> None:
    message = f"{found}, which backend '{backend}' cannot do; expected 'tensorflow'"
    with pytest.raises(ValueError, match=message):
        load(pair_directory, backend=backend, **option)


@pytest.mark.usefixtures("no_tensorflow")
@pytest.mark.parametrize("option", [{"backend": "tensorflow"}, {"precision": "bfloat16"}, {"device": "/GPU:0"}])
def test_what_needs_tensorflow_names_the_extra(pair_directory: Path, option: dict[str, Any]) -> None:
    with pytest.raises(MissingExtraError, match=r'needs TensorFlow.*pip install "dpr-tiny-retriever\[tensorflow\]"'):
        load(pair_directory, **option)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_vector(pair_directory: Path, threads: int) -> None:
    texts = MANY * 20
    np.testing.assert_array_equal(
        load(pair_directory, threads=threads).encode(texts), load(pair_directory).encode(texts)
    )


def test_weights_without_a_pooler_cannot_be_pooled_by_it(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="pooling is 'pooler', but these weights have none; expected one, or 'cls'"):
        Encoder(encoder.config, encoder.weights._replace(pooler=None), encoder.tokenizer, max_length=16)
