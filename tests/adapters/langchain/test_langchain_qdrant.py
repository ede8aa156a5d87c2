"""Qdrant in a local folder: dot product, written and opened again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from qdrant_client.models import Distance

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, join_titles, split_titles

pytestmark = pytest.mark.langchain_modern


def write(folder: Path, embeddings: TinyDPREmbeddings, documents: list[Document]) -> None:
    store = QdrantVectorStore.from_documents(
        documents, embeddings, path=str(folder), collection_name="passages", distance=Distance.DOT
    )
    store.client.close()


def reopen(folder: Path, embeddings: TinyDPREmbeddings) -> QdrantVectorStore:
    return QdrantVectorStore.from_existing_collection(
        collection_name="passages", embedding=embeddings, path=str(folder), distance=Distance.DOT
    )


def test_a_reopened_store_finds_every_passage_first(
    tmp_path: Path,
    minilm: TinyDPREmbeddings,
    documents: list[Document],
    questions: dict[str, str],
    separator: str,
) -> None:
    write(tmp_path, minilm, join_titles(documents, title_separator=separator))
    store = reopen(tmp_path, minilm)
    by_title = {document.metadata["title"]: document for document in documents}
    for question, title in questions.items():
        [found] = split_titles(store.similarity_search(question, k=1), title_separator=separator)
        assert found.page_content == by_title[title].page_content
        assert found.metadata.items() >= by_title[title].metadata.items()
    store.client.close()


def test_scores_are_the_dot_products_of_the_cores_vectors(
    tmp_path: Path, embeddings: TinyDPREmbeddings, documents: list[Document], separator: str
) -> None:
    write(tmp_path, embeddings, join_titles(documents, title_separator=separator))
    store = reopen(tmp_path, embeddings)
    question = "Why does the sea level change during the day?"
    passages = [(document.metadata["title"], document.page_content) for document in documents]
    query = embeddings.encoder.encode_queries([question])[0]
    expected = embeddings.encoder.encode_passages(passages) @ query
    ranking = store.similarity_search_with_score(question, k=len(documents))
    assert [document.metadata["shelf"] for document, _ in ranking] == np.argsort(-expected).tolist()
    assert [score for _, score in ranking] == pytest.approx(np.sort(expected)[::-1].tolist(), abs=1e-3)
    store.client.close()
