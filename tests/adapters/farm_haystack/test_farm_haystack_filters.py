"""Filters, one for all queries or one for each, in a document store that supports them."""

from pathlib import Path

import pytest
from haystack import Document
from haystack.errors import HaystackError
from qdrant_haystack import QdrantDocumentStore

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

# The store creates its collection with a call that the client has deprecated.
pytestmark = [
    pytest.mark.farm_haystack,
    pytest.mark.filterwarnings("ignore:`recreate_collection` method is deprecated:DeprecationWarning"),
]

QUESTIONS = ["What is in a river?", "What is seen at night?"]


@pytest.fixture
def store(documents: list[Document], minilm: TinyDPRRetriever) -> QdrantDocumentStore:
    store = QdrantDocumentStore(":memory:", embedding_dim=384, similarity="dot_product", progress_bar=False)
    store.write_documents(documents)
    store.update_embeddings(minilm)
    return store


def topics(documents: list[Document]) -> set[str]:
    return {document.meta["topic"] for document in documents}


def test_a_filter_narrows_the_search(store: QdrantDocumentStore, minilm: TinyDPRRetriever) -> None:
    assert len(topics(minilm.retrieve(QUESTIONS[1], document_store=store))) == 4
    found = minilm.retrieve(QUESTIONS[1], filters={"topic": ["food"]}, document_store=store)
    assert len(found) == 3
    assert topics(found) == {"food"}
    found = minilm.retrieve(QUESTIONS[1], filters={"place": {"$lt": 2}}, document_store=store)
    assert {document.meta["name"] for document in found} == {"Lighthouse", "Suspension bridge"}
    assert minilm.retrieve(QUESTIONS[1], filters={"topic": ["music"]}, document_store=store) == []


def test_one_filter_applies_to_all_queries(store: QdrantDocumentStore, minilm: TinyDPRRetriever) -> None:
    found = minilm.retrieve_batch(QUESTIONS, filters={"topic": ["animal"]}, document_store=store)
    assert [topics(documents) for documents in found] == [{"animal"}, {"animal"}]
    assert found[0][0].meta["name"] == "Salmon"
    assert found[1][0].meta["name"] == "Owl"


def test_each_query_may_have_its_own_filter(store: QdrantDocumentStore, minilm: TinyDPRRetriever) -> None:
    filters = [{"topic": ["sky"]}, {"topic": ["building"]}, None]
    queries = [*QUESTIONS, QUESTIONS[0]]
    found = minilm.retrieve_batch(queries, filters=filters, document_store=store)
    assert [topics(documents) for documents in found[:2]] == [{"sky"}, {"building"}]
    assert len(found[2]) == 10
    for query, one_filter, documents in zip(queries, filters, found, strict=True):
        alone = minilm.retrieve(query, filters=one_filter, document_store=store)
        assert [document.id for document in documents] == [document.id for document in alone]


def test_a_list_of_filters_must_be_as_long_as_the_queries(store: QdrantDocumentStore, minilm: TinyDPRRetriever) -> None:
    with pytest.raises(HaystackError, match="Number of filters does not match"):
        minilm.retrieve_batch(QUESTIONS, filters=[None], document_store=store)


def test_filters_of_the_store_limit_a_blend(store: QdrantDocumentStore, minilm_directory: Path) -> None:
    blending = TinyDPRRetriever(store, minilm_directory, mode="blend", progress_bar=False)
    found = blending.retrieve("Which bread, cheese and chocolate are green?", filters={"place": {"$lt": 2}})
    assert {document.meta["name"] for document in found} == {"Lighthouse", "Suspension bridge"}
    found = blending.retrieve("salmon in a river", filters={"topic": ["food", "animal"]}, top_k=1)
    assert [document.meta["name"] for document in found] == ["Salmon"]
