"""langchain-community's FAISS store: inner product, saved to a folder and loaded again."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, join_titles, split_titles

pytestmark = pytest.mark.langchain_legacy


def save_and_load(folder: Path, embeddings: TinyDPREmbeddings, documents: list[Document]) -> FAISS:
    FAISS.from_documents(documents, embeddings, distance_strategy=DistanceStrategy.MAX_INNER_PRODUCT).save_local(
        str(folder)
    )
    return FAISS.load_local(
        str(folder),
        embeddings,
        distance_strategy=DistanceStrategy.MAX_INNER_PRODUCT,
        allow_dangerous_deserialization=True,
    )


def test_a_loaded_index_finds_every_passage_first(
    tmp_path: Path,
    minilm: TinyDPREmbeddings,
    documents: list[Document],
    questions: dict[str, str],
    separator: str,
) -> None:
    store = save_and_load(tmp_path, minilm, join_titles(documents, title_separator=separator))
    by_title = {document.metadata["title"]: document for document in documents}
    for question, title in questions.items():
        [found] = split_titles(store.similarity_search(question, k=1), title_separator=separator)
        assert found.page_content == by_title[title].page_content
        assert found.metadata == by_title[title].metadata


def test_scores_are_the_dot_products_of_the_cores_vectors(
    tmp_path: Path, embeddings: TinyDPREmbeddings, documents: list[Document], separator: str
) -> None:
    store = save_and_load(tmp_path, embeddings, join_titles(documents, title_separator=separator))
    assert store.index.metric_type == faiss.METRIC_INNER_PRODUCT
    question = "Why does the sea level change during the day?"
    passages = [(document.metadata["title"], document.page_content) for document in documents]
    query = embeddings.encoder.encode_queries([question])[0]
    expected = embeddings.encoder.encode_passages(passages) @ query
    ranking = store.similarity_search_with_score(question, k=len(documents))
    assert [document.metadata["shelf"] for document, _ in ranking] == np.argsort(-expected).tolist()
    assert [float(score) for _, score in ranking] == pytest.approx(np.sort(expected)[::-1].tolist(), abs=1e-3)
