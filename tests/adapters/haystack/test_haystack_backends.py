"""The backend that an embedder is told to use is the one that encodes, and its repr says which."""

from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack_checks import assert_same, vectors

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = pytest.mark.haystack


def test_backend_and_threads_reach_the_encoder(
    pair_directory: Path,
    text_embedder: TinyDPRTextEmbedder,
    document_embedder: TinyDPRDocumentEmbedder,
    documents: list[Document],
) -> None:
    query = TinyDPRTextEmbedder(pair_directory, backend="numpy", threads=1)
    passages = TinyDPRDocumentEmbedder(pair_directory, backend="numpy", threads=2)
    assert_same(query.run("who")["embedding"], text_embedder.run("who")["embedding"])
    assert_same(vectors(passages, *documents), vectors(document_embedder, *documents))
    for embedder in (query, passages):
        assert "backend='numpy'" in repr(embedder)


def test_a_pipeline_from_yaml_has_the_backend_and_threads_that_were_saved(pair_directory: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", TinyDPRTextEmbedder(pair_directory, backend="numpy", threads=2))
    embedder = Pipeline.loads(pipeline.dumps()).get_component("embedder")
    embedder.warm_up()
    assert (embedder.backend, embedder.threads) == ("numpy", 2)
    assert "backend='numpy'" in repr(embedder)


@pytest.mark.parametrize(("embedder", "side"), [(TinyDPRTextEmbedder, "query"), (TinyDPRDocumentEmbedder, "passage")])
def test_the_repr_names_model_side_width_and_backend(pair_directory: Path, embedder: Any, side: str) -> None:
    name, model = embedder.__name__, str(pair_directory)
    cold = embedder(pair_directory, backend="numpy")
    assert repr(cold) == f"{name}(model={model!r}, side={side!r}, backend='numpy', not loaded yet)"
    cold.warm_up()
    assert repr(cold) == f"{name}(model={model!r}, side={side!r}, embedding_dim=128, backend='numpy')"
