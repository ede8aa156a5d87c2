"""LangChain's recipes around a vector store embed the titles of all documents and chunks over a TitledVectorStore."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.retrievers import ParentDocumentRetriever
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.stores import InMemoryByteStore, InMemoryStore
from langchain_core.tools import create_retriever_tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter

from dpr_tiny_retriever import STAMP_KEY
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore

pytestmark = [pytest.mark.langchain, pytest.mark.vector_stores]

SPLITTER = RecursiveCharacterTextSplitter(chunk_size=40, chunk_overlap=0)


@pytest.fixture(scope="module")
def plain(pair_directory: Any) -> TinyDPREmbeddings:
    return TinyDPREmbeddings(pair_directory, normalize=True)


def check_vectors(store: TitledVectorStore, titles: dict[str, str]) -> None:
    """Assert that every chunk is embedded with the title of its source document."""
    assert isinstance(store.vectorstore, InMemoryVectorStore)
    records = list(store.vectorstore.store.values())
    title_of = {r["text"]: title for r in records for text, title in titles.items() if r["text"] in text}
    passages = [(title_of[record["text"]], record["text"]) for record in records]
    for record, vector in zip(records, store.tiny_dpr_embeddings.embed_passages(passages), strict=True):
        assert record["vector"] == pytest.approx(vector, abs=1e-5)


@pytest.fixture
def titles(documents: list[Document]) -> dict[str, str]:
    """text -> title."""
    return {document.page_content: document.metadata["title"] for document in documents}


def test_every_chunk_of_a_split_document_has_its_title(
    plain: TinyDPREmbeddings, documents: list[Document], titles: dict[str, str]
) -> None:
    chunks = SPLITTER.split_documents(documents)
    assert len(chunks) > len(documents)
    check_vectors(TitledVectorStore.from_documents(chunks, plain), titles)


def test_parent_documents_are_found_by_titled_chunks(
    plain: TinyDPREmbeddings, documents: list[Document], titles: dict[str, str]
) -> None:
    store = TitledVectorStore(InMemoryVectorStore(plain))
    retriever = ParentDocumentRetriever(vectorstore=store, docstore=InMemoryStore(), child_splitter=SPLITTER)
    retriever.add_documents(documents)
    check_vectors(store, titles)
    found = retriever.invoke(documents[2].page_content)
    assert all(document in documents for document in found), "whole documents, as they were given"


def test_a_cache_keeps_vectors_of_one_text_under_several_titles_apart(plain: TinyDPREmbeddings) -> None:
    cache = InMemoryByteStore()
    cached = CacheBackedEmbeddings.from_bytes_store(plain, cache, key_encoder=plain.cache_key)
    same = [Document(page_content="It rises.", metadata={"title": title}, id=title) for title in ("Tide", "Bread")]
    for _ in range(2):
        store = TitledVectorStore.from_documents(same, cached)
        assert isinstance(store.vectorstore, InMemoryVectorStore)
        for title in ("Tide", "Bread"):
            [vector] = plain.embed_passages([(title, "It rises.")])
            assert store.vectorstore.store[title]["vector"] == pytest.approx(vector, abs=1e-5)
    assert len(list(cache.yield_keys())) == 2


@pytest.mark.filterwarnings("ignore:Using default key encoder")
def test_the_namespace_alone_of_a_cache_is_an_error_where_titles_would_be_mixed_up(plain: TinyDPREmbeddings) -> None:
    cached = CacheBackedEmbeddings.from_bytes_store(plain, InMemoryByteStore(), namespace=plain.namespace)
    store = TitledVectorStore(InMemoryVectorStore(cached))
    store.add_documents([Document(page_content="It rises.", metadata={"title": "Tide"})])
    with pytest.raises(ValueError, match=r"key_encoder=embeddings\.cache_key"):
        store.add_documents([Document(page_content="It rises.", metadata={"title": "Bread"})])


def test_a_tool_for_agents_shows_texts_without_titles_and_stamps(
    plain: TinyDPREmbeddings, documents: list[Document]
) -> None:
    store = TitledVectorStore.from_documents(documents, plain)
    retriever = store.as_retriever(search_kwargs={"k": 1})
    tool = create_retriever_tool(retriever, "passages", "Finds passages.", response_format="content_and_artifact")
    call = {"name": "passages", "args": {"query": documents[2].page_content}, "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    [found] = message.artifact
    assert found in documents
    assert message.content == found.page_content
    assert STAMP_KEY not in found.metadata


def test_the_indexing_api_skips_what_is_stored_and_stamps_what_is_not(
    plain: TinyDPREmbeddings, documents: list[Document], titles: dict[str, str]
) -> None:
    store = TitledVectorStore(InMemoryVectorStore(plain))
    records = InMemoryRecordManager(namespace=f"passages/{plain.namespace}")
    records.create_schema()
    for added, skipped in ((6, 0), (0, 6)):
        done = index(documents, records, store, cleanup="full", key_encoder="blake2b")
        assert (done["num_added"], done["num_skipped"], done["num_deleted"]) == (added, skipped, 0)
    check_vectors(store, titles)
    assert isinstance(store.vectorstore, InMemoryVectorStore)
    stamps = {record["metadata"][STAMP_KEY] for record in store.vectorstore.store.values()}
    assert stamps == {str(plain.encoder.stamp)}
