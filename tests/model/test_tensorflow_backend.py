"""TensorFlow as a backend: when it is chosen and loaded, on which device, in which precision, from one graph."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.model import tensorflow_backend
from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.model.tensorflow_backend import TensorFlowBackend

pytestmark = [pytest.mark.also_lowest, pytest.mark.tensorflow]


def load(folder: Path, **options: Any) -> Encoder:
    return Encoder.from_pretrained(folder, side="passage", **options)


@pytest.mark.parametrize(
    ("options", "large"),
    [
        ({"device": "/GPU:0"}, "GPU:0"),
        ({"device": "/job:cpu/device:GPU:0"}, "job:cpu/device:GPU:0"),
        ({"precision": "bfloat16"}, "CPU, bfloat16"),
        ({"precision": "bfloat16", "device": "/device:CPU:0"}, "CPU:0, bfloat16"),
    ],
)
def test_another_device_and_half_precision_are_tensorflows_but_for_few_texts(
    pair_directory: Path, options: dict[str, Any], large: str
) -> None:
    native = load(pair_directory).backend
    assert load(pair_directory, **options).backend == f"{native} for few texts, tensorflow ({large}) for many"


def test_where_native_code_does_not_fit_numpy_runs_few_texts_and_tensorflow_many(odd_directory: Path) -> None:
    assert load(odd_directory).backend == "numpy for few texts, tensorflow (CPU) for many"


def test_named_it_runs_everything(pair_directory: Path) -> None:
    named, chosen = load(pair_directory, backend="tensorflow"), load(pair_directory)
    assert named.backend == "tensorflow (CPU)"
    for count in (0, 1, 300):
        texts = [("the tower", f"of the city {number}") for number in range(count)]
        np.testing.assert_allclose(named.encode(texts), chosen.encode(texts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("tensorflow_sees_it", [False, True])
def test_a_gpu_is_used_where_tensorflow_sees_it(
    pair_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tensorflow_sees_it: bool
) -> None:
    (tmp_path / "nvidia3").touch()
    monkeypatch.setattr(tensorflow_backend, "GPU_FILES", (str(tmp_path / "nvidia[0-9]*"),))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] if tensorflow_sees_it else [])
    native = load(pair_directory, device="/CPU:0").backend
    assert native.startswith("native (")
    both = f"{native} for few texts, tensorflow (GPU:0) for many"
    assert load(pair_directory).backend == (both if tensorflow_sees_it else native)


def test_a_text_has_the_same_vector_whatever_was_encoded_before(odd_directory: Path) -> None:
    encoder = load(odd_directory)
    before = encoder.encode(["the city of the river"])
    encoder.encode(["the tower " * 60] * 50)
    np.testing.assert_array_equal(encoder.encode(["the city of the river"]), before)


def tensorflow_is_loaded(folder: Path) -> list[bool]:
    """Whether it is after little work, and whether after much, in a process of its own."""
    script = f"""
import sys
from dpr_tiny_retriever import DualEncoder
pair = DualEncoder.from_pretrained({str(folder)!r})
pair.warm_up(bulk=False)
for _ in range(100):
    pair.encode_queries(["who wrote the first text " * 12])
print("tensorflow" in sys.modules)
pair.warm_up()
pair.encode_passages([("the tower", "the city " * 40)] * 100)
print("tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder)
    return [word == "True" for word in done.stdout.split()]


def test_native_code_never_loads_tensorflow(pair_directory: Path) -> None:
    assert tensorflow_is_loaded(pair_directory) == [False, False]


def test_beside_numpy_tensorflow_is_loaded_for_many_texts_only(odd_directory: Path) -> None:
    assert tensorflow_is_loaded(odd_directory) == [False, True]


def test_other_lengths_and_batch_sizes_need_no_new_graph(encoder: Encoder) -> None:
    backend = TensorFlowBackend(encoder.config, encoder.weights, threads=None, device=None, precision="float32")
    backend.warm_up()
    graph: Any = backend.tf_function()
    for count, length in ((1, 1), (1, 7), (2, 3), (5, 90), (33, 12)):
        lengths = np.full(count, length, np.int32)
        assert graph(*TokenBatch(np.ones((count, length), np.int32), lengths, lengths)).shape == (count, 128)
    assert backend.tf_function() is graph
    assert graph.experimental_get_tracing_count() == 1


def test_half_precision_is_for_many_texts_and_costs_little(
    pair_directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = load(pair_directory, normalize=True)
    half = load(pair_directory, normalize=True, precision="bfloat16")
    few, many = ["who wrote it"], [f"the tower of the river {number} " * 20 for number in range(200)]
    np.testing.assert_array_equal(half.encode(few), full.encode(few))
    monkeypatch.setattr(tensorflow_backend, "lacks_bfloat16", lambda: True)
    half.warm_up()
    full.warm_up()
    assert "no instructions for bfloat16" in caplog.text
    vectors, exact = half.encode(many), full.encode(many)
    assert vectors.dtype == np.float32
    assert 0 < np.abs(vectors - exact).max() < 0.02
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-6)
    assert half.fingerprint() != full.fingerprint()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(half)).encode(many), vectors)
