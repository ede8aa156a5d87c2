"""Whatever a store's scores are, the retriever blends the same similarities: those of the embeddings' vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings
from dpr_tiny_retriever.passage import PassageLike

pytestmark = [pytest.mark.also_lowest, pytest.mark.langchain]


class CountingEmbeddings(TinyDPREmbeddings):
    """Counts the documents that it embeds."""

    embedded = 0

    def embed_passages(self, passages: Iterable[PassageLike]) -> list[list[float]]:
        vectors = super().embed_passages(passages)
        self.embedded += len(vectors)
        return vectors


def store_with(score: Callable[[float], float] | None) -> type[InMemoryVectorStore]:
    """A store that gives this score for a cosine, or none."""

    class Store(InMemoryVectorStore):
        def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
            if score is None:
                raise NotImplementedError
            found = super().similarity_search_with_score(query, k, **kwargs)
            return [(document, score(cosine)) for document, cosine in found]

        def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
            return [document for document, _ in super().similarity_search_with_score(query, k, **kwargs)]

    return Store


@pytest.fixture
def documents() -> list[Document]:
    names = "crab ant bee cow dog eel fox gnu hen ibis jay kiwi lynx mole newt owl".split()
    return [
        Document(page_content=f"The {name} is number {number}.", metadata={"title": name.title()})
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("score", "is_read"),
    [
        (lambda cosine: cosine, True),
        (lambda cosine: 1 - cosine, True),
        (lambda cosine: 2 - 2 * cosine, True),
        (lambda cosine: (2 - 2 * cosine) ** 0.5, True),
        (lambda cosine: (1 + cosine) ** 3, False),
        (lambda cosine: -cosine, False),
        (None, False),
    ],
    ids=["cosine", "cosine distance", "squared L2 distance", "L2 distance", "something else", "negative", "none"],
)
def test_scores_of_every_kind_give_the_cosines(
    score: Callable[[float], float] | None, is_read: bool, documents: list[Document], pair_directory: Path
) -> None:
    embeddings = CountingEmbeddings(pair_directory, normalize=True)
    expected = TinyDPRBlendRetriever.from_documents(documents, embeddings, k=9).search("Which bird is number 9?")
    embeddings.embedded = 0
    retriever = TinyDPRBlendRetriever.from_documents(documents, embeddings, k=9, vectorstore_class=store_with(score))
    for _ in range(2):
        hits = retriever.search("Which bird is number 9?")
        assert [hit.document.page_content for hit in hits] == [hit.document.page_content for hit in expected]
        dense = [hit.placement.dense_score for hit in hits]
        assert dense == pytest.approx([hit.placement.dense_score for hit in expected], abs=1e-5)
    once = len(documents)
    assert embeddings.embedded == once + (8 if is_read else once), "for the store, then to read its scores"


def test_dot_products_of_any_length_are_blended_where_the_model_wants_them(
    documents: list[Document], pair_directory: Path
) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, exact_dot=True)
    retriever = TinyDPRBlendRetriever.from_documents(documents, embeddings, k=9)
    hits = retriever.search("Which bird is number 9?")
    query = embeddings.encoder.encode_queries(["Which bird is number 9?"])[0]
    passages = [(hit.document.metadata["title"], hit.document.page_content) for hit in hits]
    expected = embeddings.encoder.encode_passages(passages) @ query
    assert [hit.placement.dense_score for hit in hits] == pytest.approx(expected.tolist(), abs=1e-3)


def test_a_store_that_hides_its_embeddings_needs_them(documents: list[Document], embeddings: TinyDPREmbeddings) -> None:
    class Hiding(InMemoryVectorStore):
        embeddings = None  # type: ignore[assignment]

    store = Hiding(embeddings)
    with pytest.raises(ValueError, match="Hiding does not tell its embeddings; pass them as embeddings="):
        TinyDPRBlendRetriever(store)
    assert TinyDPRBlendRetriever(store, documents, embeddings=embeddings).invoke("owl", k=1)[0].metadata == {
        "title": "Owl"
    }
