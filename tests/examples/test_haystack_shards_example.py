"""The example that writes shards into a document store of haystack-ai."""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from haystack import Document
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
from stored_shards import DIM, exact_ids, ids, rows_of, write_folder

pytestmark = [pytest.mark.haystack, pytest.mark.langchain_modern]  # the latter comes with qdrant-haystack

EXAMPLE = Path(__file__).parents[2] / "examples" / "haystack_shards.py"


@contextmanager
def opened(path: Path) -> Iterator[QdrantDocumentStore]:
    store = QdrantDocumentStore(path=str(path), embedding_dim=DIM, similarity="dot_product")
    yield store
    store.close()


def test_the_store_ranks_as_the_shards_do_and_an_ended_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [rows_of(ids(0, 10)), rows_of(ids(10, 20)), rows_of(ids(20, 25))]
    example = runpy.run_path(str(EXAMPLE))
    with opened(tmp_path / "store") as store:
        assert example["write_shards"](write_folder(tmp_path / "shards", parts[:1]), store) == 10
        vectors = parts[1].vectors[:5].tolist()  # a run ends within the second shard
        store.write_documents([Document(id=f"p{10 + row}", embedding=vector) for row, vector in enumerate(vectors)])

    folder = write_folder(tmp_path / "shards", parts)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path / "shards"), str(tmp_path / "store")])
    example["main"]()
    assert capsys.readouterr().out == "15 documents written, 25 in the store\n"
    with opened(tmp_path / "store") as store:
        assert example["write_shards"](folder, store) == 0
        retriever = QdrantEmbeddingRetriever(store, top_k=10)
        queries = np.random.default_rng(7).normal(size=(5, DIM)).astype(np.float32)
        found = [retriever.run(query)["documents"] for query in queries.tolist()]
        assert [[document.id for document in documents] for documents in found] == exact_ids(folder, queries, 10)
        assert found[0][0].content == f"Text of passage {found[0][0].id}."
