"""Relevance scores and score thresholds mean one thing in every store: the cosine."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore, relevance_score_fn

pytestmark = [pytest.mark.also_lowest, pytest.mark.langchain]

QUESTION = "Why does the sea level change?"
#: The score of each kind for a cosine.
KINDS: dict[str, Callable[[float], float]] = {
    "similarity": lambda cosine: cosine,
    "distance": lambda cosine: 1 - cosine,
    "l2": lambda cosine: (2 - 2 * cosine) ** 0.5,
    "squared_l2": lambda cosine: 2 - 2 * cosine,
}


@pytest.fixture(scope="module")
def bundled() -> TinyDPREmbeddings:
    """A trained pair, whose cosines differ."""
    return TinyDPREmbeddings()


def scoring(score: Callable[[float], float]) -> type[InMemoryVectorStore]:
    class Store(InMemoryVectorStore):
        def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
            return [(document, score(cosine)) for document, cosine in super().similarity_search_with_score(query, k)]

        async def asimilarity_search_with_score(self, *args: Any, **kwargs: Any) -> list[tuple[Document, float]]:
            return self.similarity_search_with_score(*args, **kwargs)

    return Store


def expected(documents: list[Document], embeddings: TinyDPREmbeddings) -> dict[str, float]:
    """Return each document's dot product with the question, by title, best first."""
    vectors = embeddings.encoder.encode_passages([(d.metadata["title"], d.page_content) for d in documents])
    products = (vectors @ embeddings.encoder.encode_queries([QUESTION])[0]).tolist()
    by_title = {d.metadata["title"]: product for d, product in zip(documents, products, strict=True)}
    return dict(sorted(by_title.items(), key=lambda item: -item[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_relevances_are_cosines_whatever_the_store_returns(
    kind: str, bundled: TinyDPREmbeddings, documents: list[Document]
) -> None:
    cosines = {title: max(cosine, 0.0) for title, cosine in expected(documents, bundled).items()}
    store = TitledVectorStore.from_documents(documents, bundled, vectorstore_class=scoring(KINDS[kind]))
    found = store.similarity_search_with_relevance_scores(QUESTION, k=6)
    assert {d.metadata["title"]: score for d, score in found} == pytest.approx(cosines, abs=1e-5)
    assert asyncio.run(store.asimilarity_search_with_relevance_scores(QUESTION, k=6)) == found
    threshold = sum(list(cosines.values())[2:4]) / 2
    search_kwargs = {"score_threshold": threshold, "k": 6}
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs=search_kwargs)
    assert {document.metadata["title"] for document in retriever.invoke(QUESTION)} == set(list(cosines)[:3])

    relevance = relevance_score_fn(bundled, kind)  # type: ignore[arg-type]
    for cosine in (-0.3, 0.0, 0.4, 1.0, 1.0000001):
        value = KINDS[kind](cosine)
        assert isinstance(value, complex) or relevance(value) == pytest.approx(min(max(cosine, 0), 1), abs=1e-6)
    assert pickle.loads(pickle.dumps(relevance))(KINDS[kind](0.5)) == pytest.approx(0.5)


def test_relevances_of_dot_products_are_shares_of_the_largest_possible_one(
    pair_directory: Path, documents: list[Document]
) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, exact_dot=True)
    bound = embeddings.encoder.exact_dot_bound or 0.0
    largest = bound * float(np.linalg.norm(embeddings.embed_query(QUESTION)))
    shares = {title: max(dot / largest, 0.0) for title, dot in expected(documents, embeddings).items()}
    store = TitledVectorStore.from_documents(documents, embeddings)
    found = store.similarity_search_with_relevance_scores(QUESTION, k=6)
    assert [d.metadata["title"] for d, _ in found] == list(shares)
    assert {d.metadata["title"]: score for d, score in found} == pytest.approx(shares, abs=1e-5)


def test_what_no_function_of_one_score_can_do_is_refused(pair_directory: Path, bundled: TinyDPREmbeddings) -> None:
    with pytest.raises(ValueError, match=r"do not have unit length.*TitledVectorStore.*normalize=True"):
        relevance_score_fn(TinyDPREmbeddings(pair_directory))
    with pytest.raises(ValueError, match="kind is 'cosine'; expected one of 'similarity', 'distance', 'l2', 'squared_"):
        relevance_score_fn(bundled, "cosine")  # type: ignore[arg-type]


def test_the_bundled_pair_brings_a_threshold_and_others_do_not(
    bundled: TinyDPREmbeddings, embeddings: TinyDPREmbeddings, documents: list[Document]
) -> None:
    store = TitledVectorStore.from_documents(documents, bundled)
    retriever = store.as_retriever(search_type="similarity_score_threshold")
    threshold = bundled.score_threshold or 0.0
    question = documents[2].page_content
    cosines = [cosine for _, cosine in store.similarity_search_with_score(question, k=6)]
    assert cosines[0] > threshold > cosines[-1]
    assert len(retriever.invoke(question)) == sum(cosine >= threshold for cosine in cosines)
    assert len(store.as_retriever().invoke(QUESTION)) == 4
    search_kwargs = {"score_threshold": 0.0}
    lower = store.as_retriever(search_type="similarity_score_threshold", search_kwargs=search_kwargs)
    assert len(lower.invoke(QUESTION)) == 4
    assert embeddings.score_threshold is None
