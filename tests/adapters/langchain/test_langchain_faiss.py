"""langchain-community's FAISS store: inner product, saved to a folder and loaded again."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings, TitledVectorStore

pytestmark = pytest.mark.langchain_legacy


def save_and_load(folder: Path, embeddings: TinyDPREmbeddings, documents: list[Document]) -> TitledVectorStore:
    by_dot = {"distance_strategy": DistanceStrategy.MAX_INNER_PRODUCT}
    store = TitledVectorStore.from_documents(documents, embeddings, vectorstore_class=FAISS, **by_dot).vectorstore
    assert isinstance(store, FAISS)
    store.save_local(str(folder))
    return TitledVectorStore(FAISS.load_local(str(folder), embeddings, allow_dangerous_deserialization=True, **by_dot))


def test_a_loaded_index_finds_every_passage_first(
    tmp_path: Path,
    minilm: TinyDPREmbeddings,
    documents: list[Document],
    questions: dict[str, str],
) -> None:
    store = save_and_load(tmp_path, minilm, documents)
    by_title = {document.metadata["title"]: document for document in documents}
    for question, title in questions.items():
        [found] = store.similarity_search(question, k=1)
        assert found.page_content == by_title[title].page_content
        assert found.metadata == by_title[title].metadata


def test_scores_are_the_dot_products_of_the_cores_vectors(
    tmp_path: Path, embeddings: TinyDPREmbeddings, documents: list[Document]
) -> None:
    store = save_and_load(tmp_path, embeddings, documents)
    assert isinstance(store.vectorstore, FAISS)
    assert store.vectorstore.index.metric_type == faiss.METRIC_INNER_PRODUCT
    question = "Why does the sea level change during the day?"
    passages = [(document.metadata["title"], document.page_content) for document in documents]
    query = embeddings.encoder.encode_queries([question])[0]
    expected = embeddings.encoder.encode_passages(passages) @ query
    ranking = store.similarity_search_with_score(question, k=len(documents))
    assert [document.metadata["shelf"] for document, _ in ranking] == np.argsort(-expected).tolist()
    assert [float(score) for _, score in ranking] == pytest.approx(np.sort(expected)[::-1].tolist(), abs=1e-3)


def test_the_blend_over_squared_distances_is_that_over_cosines(
    minilm: TinyDPREmbeddings, documents: list[Document], questions: dict[str, str]
) -> None:
    over_cosines = TinyDPRBlendRetriever.from_documents(documents, minilm, k=6)
    over_distances = TinyDPRBlendRetriever.from_documents(documents, minilm, k=6, vectorstore_class=FAISS)
    for question in questions:
        assert over_distances.invoke(question) == over_cosines.invoke(question)


def test_a_filter_of_the_store_limits_the_blend_and_adds_and_deletes_reach_both(
    minilm: TinyDPREmbeddings, documents: list[Document]
) -> None:
    retriever = TinyDPRBlendRetriever.from_documents(documents, minilm, k=6, vectorstore_class=FAISS)
    found = retriever.invoke("Which insect stores food in wax combs?", filter={"shelf": 1})
    assert [document.metadata["title"] for document in found] == ["Sperm whale"]
    [id] = retriever.add_documents([Document(page_content="A quokka is a marsupial.", metadata={"title": "Quokka"})])
    assert retriever.invoke("quokka", k=1)[0].id == id
    retriever.delete([id])
    assert len(retriever.invoke("quokka", k=100)) == len(documents)
