"""The backend that a retriever is told to use is the one that encodes."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from haystack import Document, Pipeline

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = [pytest.mark.farm_haystack, pytest.mark.tensorflow]


@pytest.mark.parametrize("backend", ["numpy", "tensorflow"])
def test_every_backend_gives_the_vectors_of_the_default(
    pair_directory: Path, retriever: TinyDPRRetriever, documents: list[Document], backend: str
) -> None:
    named = TinyDPRRetriever(model=pair_directory, backend=backend, threads=1)
    assert named.encoder.backend.startswith(backend)
    np.testing.assert_allclose(named.embed_documents(documents), retriever.embed_documents(documents), atol=1e-5)
    np.testing.assert_allclose(named.embed_queries(["who"]), retriever.embed_queries(["who"]), atol=1e-5)


def test_a_pipeline_from_yaml_has_the_backend_and_threads_that_were_saved(tmp_path: Path, pair_directory: Path) -> None:
    pipeline = Pipeline()
    retriever = TinyDPRRetriever(model=pair_directory, backend="numpy", threads=2)
    pipeline.add_node(retriever, name="Retriever", inputs=["Query"])
    pipeline.save_to_yaml(tmp_path / "pipeline.yaml")
    loaded = Pipeline.load_from_yaml(tmp_path / "pipeline.yaml").get_node("Retriever")
    fingerprint = retriever.encoder.fingerprint(model_only=True)
    expected = {"model": str(pair_directory), "backend": "numpy", "threads": 2, "fingerprint": fingerprint}
    assert loaded.get_params() == expected
    assert loaded.encoder.backend == "numpy"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"backend": "torch"}, "backend is 'torch'; expected 'auto', 'native'"),
        ({"threads": 0}, "threads is 0; expected at least 1"),
        ({"precision": "int8"}, "precision is 'int8'; expected 'float32' or 'bfloat16'"),
    ],
)
def test_a_wrong_value_is_refused_before_the_model_is_looked_for(option: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TinyDPRRetriever(model="no/such-model", **option)  # type: ignore[arg-type]


def test_the_repr_names_the_model_its_width_and_the_backend(pair_directory: Path) -> None:
    shown = repr(TinyDPRRetriever(model=pair_directory, backend="numpy"))
    assert shown.startswith("TinyDPRRetriever(")
    for part in (str(pair_directory), "128", "numpy"):
        assert part in shown


def test_use_gpu_false_keeps_tensorflow_on_the_cpu(pair_directory: Path) -> None:
    on_cpu = TinyDPRRetriever(model=pair_directory, backend="tensorflow", use_gpu=False)
    anywhere = TinyDPRRetriever(model=pair_directory, backend="tensorflow")
    # With soft placement TensorFlow would run an operation for a missing GPU on the CPU.
    tf.config.set_soft_device_placement(False)
    try:
        with tf.device("/GPU:7"):
            assert on_cpu.embed_queries(["who"]).shape == (1, 128)
            assert on_cpu.embed_documents([Document(content="text")]).shape == (1, 128)
            with pytest.raises((TypeError, tf.errors.OpError), match="GPU:7"):
                anywhere.embed_queries(["who"])
    finally:
        tf.config.set_soft_device_placement(True)
