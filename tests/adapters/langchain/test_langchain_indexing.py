"""LangChain's indexing API over a TitledVectorStore: titles are part of what makes a document new."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore

pytestmark = [
    pytest.mark.also_lowest,
    pytest.mark.langchain,
    pytest.mark.filterwarnings("ignore:Using SHA-1 for document hashing"),  # older releases have no other
]


def test_a_document_is_embedded_again_when_its_title_changes_and_not_before(
    pair_directory: Path, documents: list[Document]
) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, normalize=True)
    store = TitledVectorStore(InMemoryVectorStore(embeddings))
    records = InMemoryRecordManager(namespace=f"passages/{embeddings.namespace}")
    records.create_schema()

    def update(title: str) -> tuple[int, int, int]:
        given = [
            Document(page_content=d.page_content, metadata={"title": d.metadata["title"], "source": str(number)})
            for number, d in enumerate(documents)
        ]
        given[0].metadata["title"] = title
        done = index(given, records, store, cleanup="full", source_id_key="source")
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    assert update("Honey bee") == (6, 0, 0)
    assert update("Honey bee") == (0, 6, 0)
    assert update("Western honey bee") == (1, 5, 1)
    [found] = [d for d in store.similarity_search("bee", k=6) if d.metadata["source"] == "0"]
    assert found.metadata["title"] == "Western honey bee"
    [vector] = embeddings.embed_passages([("Western honey bee", found.page_content)])
    assert isinstance(store.vectorstore, InMemoryVectorStore)
    assert any(record["vector"] == pytest.approx(vector, abs=1e-5) for record in store.vectorstore.store.values())
