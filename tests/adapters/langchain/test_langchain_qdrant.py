"""Qdrant in a local folder: dot product, written and opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, FieldCondition, Filter, MatchValue

from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings, TitledVectorStore

pytestmark = pytest.mark.langchain_modern


def write(folder: Path, embeddings: TinyDPREmbeddings, documents: list[Document]) -> None:
    options = {"path": str(folder), "collection_name": "passages", "distance": Distance.DOT}
    store = TitledVectorStore.from_documents(documents, embeddings, vectorstore_class=QdrantVectorStore, **options)
    client(store).close()


def reopen(folder: Path, embeddings: TinyDPREmbeddings) -> TitledVectorStore:
    return TitledVectorStore(
        QdrantVectorStore.from_existing_collection(
            collection_name="passages", embedding=embeddings, path=str(folder), distance=Distance.DOT
        )
    )


def client(store: Any) -> QdrantClient:
    assert isinstance(store, TitledVectorStore)
    assert isinstance(store.vectorstore, QdrantVectorStore)
    return store.vectorstore.client


def test_a_reopened_store_finds_every_passage_first(
    tmp_path: Path,
    minilm: TinyDPREmbeddings,
    documents: list[Document],
    questions: dict[str, str],
) -> None:
    write(tmp_path, minilm, documents)
    store = reopen(tmp_path, minilm)
    by_title = {document.metadata["title"]: document for document in documents}
    for question, title in questions.items():
        [found] = store.similarity_search(question, k=1)
        assert found.page_content == by_title[title].page_content
        assert found.metadata.items() >= by_title[title].metadata.items()
    client(store).close()


def test_scores_are_the_dot_products_of_the_cores_vectors(
    tmp_path: Path, embeddings: TinyDPREmbeddings, documents: list[Document]
) -> None:
    write(tmp_path, embeddings, documents)
    store = reopen(tmp_path, embeddings)
    question = "Why does the sea level change during the day?"
    passages = [(document.metadata["title"], document.page_content) for document in documents]
    query = embeddings.encoder.encode_queries([question])[0]
    expected = embeddings.encoder.encode_passages(passages) @ query
    ranking = store.similarity_search_with_score(question, k=len(documents))
    assert [document.metadata["shelf"] for document, _ in ranking] == np.argsort(-expected).tolist()
    assert [score for _, score in ranking] == pytest.approx(np.sort(expected)[::-1].tolist(), abs=1e-3)
    client(store).close()


@pytest.mark.parametrize("distance", [Distance.DOT, Distance.COSINE, Distance.EUCLID])
def test_the_blend_is_the_same_whatever_the_store_compares_by(
    tmp_path: Path, minilm: TinyDPREmbeddings, documents: list[Document], distance: Distance
) -> None:
    expected = TinyDPRBlendRetriever.from_documents(documents, minilm, k=6)
    retriever = TinyDPRBlendRetriever.from_documents(
        documents,
        minilm,
        k=6,
        vectorstore_class=QdrantVectorStore,
        vectorstore_kwargs={"path": str(tmp_path), "collection_name": "passages", "distance": distance},
    )
    for question in ("Which insect stores food in wax combs?", "the moon and the sea"):
        hits, same = retriever.search(question), expected.search(question)
        assert [hit.document for hit in hits] == [hit.document for hit in same]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in same], abs=1e-3)
    client(retriever.vectorstore).close()


def test_a_filter_of_the_store_limits_the_blend_and_adds_and_deletes_reach_both(
    tmp_path: Path, minilm: TinyDPREmbeddings, documents: list[Document]
) -> None:
    options = {"path": str(tmp_path), "collection_name": "passages", "distance": Distance.DOT}
    retriever = TinyDPRBlendRetriever.from_documents(
        documents, minilm, k=6, vectorstore_class=QdrantVectorStore, vectorstore_kwargs=options
    )
    second = Filter(must=[FieldCondition(key="metadata.shelf", match=MatchValue(value=1))])
    found = retriever.invoke("Which insect stores food in wax combs?", filter=second)
    assert [document.metadata["title"] for document in found] == ["Sperm whale"]
    [id] = retriever.add_documents([Document(page_content="A quokka is a marsupial.", metadata={"title": "Quokka"})])
    assert retriever.invoke("quokka", k=1)[0].id == id
    retriever.delete([id])
    assert len(retriever.invoke("quokka", k=100)) == len(documents)
    client(retriever.vectorstore).close()
