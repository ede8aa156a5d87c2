"""Real document stores of haystack-ai: titled documents are stored, updated and ranked as by exhaustive search."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from haystack import Document
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from haystack_integrations.components.retrievers.chroma import ChromaEmbeddingRetriever
from haystack_integrations.components.retrievers.faiss import FAISSEmbeddingRetriever
from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.chroma import ChromaDocumentStore
from haystack_integrations.document_stores.faiss import FAISSDocumentStore
from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
from ranked_passages import QUESTIONS, DocumentedStore, RankedPassages, documented_stores, stores_and_pairs

from dpr_tiny_retriever import DualEncoder
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = [pytest.mark.haystack, pytest.mark.vector_stores]

_TABLES = count()


class Place(NamedTuple):
    """Where a store keeps its documents."""

    folder: Path
    postgres: str
    table: str
    dim: int


class Store(NamedTuple):
    """A store, opened as a user would."""

    open: Callable[[Place], Any]
    retriever: type


def in_memory(similarity: str) -> Callable[[Place], Any]:
    def open(place: Place) -> Any:
        path = place.folder / "documents.json"
        if path.exists():
            return InMemoryDocumentStore.load_from_disk(str(path))
        return InMemoryDocumentStore(embedding_similarity_function=similarity)

    return open


def qdrant(similarity: str) -> Callable[[Place], Any]:
    return lambda place: QdrantDocumentStore(
        path=str(place.folder), embedding_dim=place.dim, similarity=similarity, progress_bar=False
    )


def chroma(space: Any) -> Callable[[Place], Any]:
    return lambda place: ChromaDocumentStore(persist_path=str(place.folder), distance_function=space)


def pgvector(function: Any) -> Callable[[Place], Any]:
    return lambda place: PgvectorDocumentStore(
        connection_string=Secret.from_token(place.postgres),
        table_name=place.table,
        embedding_dimension=place.dim,
        vector_function=function,
        keyword_index_name=f"{place.table}_words",
    )


def faiss(index: str) -> Callable[[Place], Any]:
    return lambda place: FAISSDocumentStore(
        index_path=str(place.folder / "index"), index_string=index, embedding_dim=place.dim
    )


def close(store: Any, place: Place) -> None:
    """Close a store before it is reopened; InMemory and FAISS are written to disk here."""
    if isinstance(store, InMemoryDocumentStore):
        store.save_to_disk(str(place.folder / "documents.json"))
    elif isinstance(store, FAISSDocumentStore):
        store.save(str(place.folder / "index"))
    else:
        store.close()


STORES = {
    "InMemory dot_product": Store(in_memory("dot_product"), InMemoryEmbeddingRetriever),
    "InMemory cosine": Store(in_memory("cosine"), InMemoryEmbeddingRetriever),
    "Qdrant dot_product": Store(qdrant("dot_product"), QdrantEmbeddingRetriever),
    "Qdrant cosine": Store(qdrant("cosine"), QdrantEmbeddingRetriever),
    "Qdrant l2": Store(qdrant("l2"), QdrantEmbeddingRetriever),
    "Chroma l2": Store(chroma("l2"), ChromaEmbeddingRetriever),
    "Chroma cosine": Store(chroma("cosine"), ChromaEmbeddingRetriever),
    "Chroma ip": Store(chroma("ip"), ChromaEmbeddingRetriever),
    "pgvector cosine_similarity": Store(pgvector("cosine_similarity"), PgvectorEmbeddingRetriever),
    "pgvector inner_product": Store(pgvector("inner_product"), PgvectorEmbeddingRetriever),
    "pgvector l2_distance": Store(pgvector("l2_distance"), PgvectorEmbeddingRetriever),
    "FAISS Flat": Store(faiss("Flat"), FAISSEmbeddingRetriever),
    "FAISS L2norm,Flat": Store(faiss("L2norm,Flat"), FAISSEmbeddingRetriever),
}
DOCUMENTED = documented_stores("haystack-ai")


class Embedders(NamedTuple):
    documents: TinyDPRDocumentEmbedder
    query: TinyDPRTextEmbedder


@pytest.fixture(scope="module")
def embedders(pair_directory: Path) -> dict[str, Embedders]:
    """The bundled pair, whose vectors have unit length, and a dot-product pair."""

    def of(model: Path | None, **options: Any) -> Embedders:
        return Embedders(TinyDPRDocumentEmbedder(model, **options), TinyDPRTextEmbedder(model, **options))

    return {"bundled": of(None), "dot": of(pair_directory), "exact_dot": of(pair_directory, exact_dot=True)}


def documents_of(ranked: RankedPassages, *ids: str) -> list[Document]:
    """Documents with titles in their metadata, where converters put them."""
    return [
        Document(id=id, content=text, meta={"title": title, "colour": colour})
        for id, (title, text, colour) in ranked.passages.items()
        if id in ids or not ids
    ]


def check_ranking(retriever: Any, documented: DocumentedStore, embedders: Embedders, ranked: RankedPassages) -> None:
    """Check the store's ranking, scores and documents, without and with a filter."""
    green = {"field": "meta.colour", "operator": "==", "value": "green"}
    for question in QUESTIONS:
        embedding = embedders.query.run(question)["embedding"]
        found = retriever.run(embedding, top_k=10)["documents"]
        similarities = ranked.check(question, [document.id for document in found])
        scores = ranked.scores(question, similarities, documented)
        assert [document.score for document in found] == pytest.approx(scores, rel=1e-4, abs=1e-3)
        for document in found:
            title, text, colour = ranked.passages[document.id]
            assert (document.content, document.meta["title"], document.meta["colour"]) == (text, title, colour)
        found = retriever.run(embedding, top_k=5, filters=green)["documents"]
        ranked.check(question, [document.id for document in found], 5, "green")


def test_every_store_that_is_documented_is_tested() -> None:
    assert list(DOCUMENTED) == list(STORES)


@pytest.mark.parametrize(("name", "pair"), stores_and_pairs(DOCUMENTED))
def test_titled_documents_are_stored_reopened_filtered_updated_and_deleted(
    name: str, pair: str, embedders: dict[str, Embedders], pair_directory: Path, tmp_path: Path, postgres: str
) -> None:
    how, embed = STORES[name], embedders[pair]
    model = None if pair == "bundled" else pair_directory
    ranked = RankedPassages(DualEncoder.from_pretrained(model, exact_dot=pair == "exact_dot"))
    place = Place(tmp_path, postgres, f"documents_{next(_TABLES)}", embed.documents.embedding_dim)
    store = how.open(place)
    store.write_documents(embed.documents.run(documents_of(ranked))["documents"])
    check_ranking(how.retriever(document_store=store), DOCUMENTED[name], embed, ranked)
    close(store, place)

    store = how.open(place)
    assert store.count_documents() == len(ranked.passages)
    changed, *gone = ranked.ids(8, 3, 11, 23)
    ranked.retitle(changed, "Another Title")
    embedded = embed.documents.run(documents_of(ranked, changed))["documents"]
    store.write_documents(embedded, policy=DuplicatePolicy.OVERWRITE)
    store.delete_documents(gone)
    ranked.remove(gone)
    assert store.count_documents() == len(ranked.passages)
    check_ranking(how.retriever(document_store=store), DOCUMENTED[name], embed, ranked)
    close(store, place)
