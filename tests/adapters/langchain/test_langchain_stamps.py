"""TitledVectorStore stores the model's stamp with each document, and checks that of every document that it finds."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings, TitledVectorStore

pytestmark = [pytest.mark.also_lowest, pytest.mark.langchain]

ANOTHER_LENGTH = r"are of .* 77 tokens .*, the model that asks has .*passages are cut at another length; load the model"


@pytest.fixture(scope="module")
def other(pair_directory: Path) -> TinyDPREmbeddings:
    """The same model with another passage length."""
    return TinyDPREmbeddings(pair_directory, title_separator=" | ", normalize=True, max_passage_length=77)


@pytest.fixture
def inner(other: TinyDPREmbeddings, documents: list[Document]) -> InMemoryVectorStore:
    """A store with the documents embedded by the other model."""
    titled = TitledVectorStore.from_documents(documents, other)
    assert isinstance(titled.vectorstore, InMemoryVectorStore)
    return titled.vectorstore


def test_the_store_keeps_the_stamp_and_nobody_else_sees_it(
    inner: InMemoryVectorStore, other: TinyDPREmbeddings, documents: list[Document]
) -> None:
    stamp = str(other.encoder.stamp)
    assert {record["metadata"][STAMP_KEY] for record in inner.store.values()} == {stamp}
    store = TitledVectorStore(inner)
    assert not any(STAMP_KEY in document.metadata for document in documents)
    ids = [str(document.id) for document in documents]
    query = other.embed_query("the sea")
    for found in (
        store.get_by_ids(ids),
        store.similarity_search("the sea", k=6),
        store.similarity_search_by_vector(query, k=6),
        [document for document, _ in store.similarity_search_with_score("the sea", k=6)],
        store.max_marginal_relevance_search("the sea", k=6),
        store.as_retriever(search_kwargs={"k": 6}).invoke("the sea"),
        asyncio.run(store.asimilarity_search("the sea", k=6)),
        TinyDPRBlendRetriever(store, documents, k=6).invoke("the sea"),
    ):
        assert sorted(found, key=lambda document: document.metadata["shelf"]) == documents
    assert all(STAMP_KEY in record["metadata"] for record in inner.store.values()), "what is returned is a copy"


def test_documents_of_another_model_are_an_error_that_names_both(
    inner: InMemoryVectorStore, embeddings: TinyDPREmbeddings, documents: list[Document]
) -> None:
    inner.embedding = embeddings
    store = TitledVectorStore(inner)
    for search in (store.similarity_search, store.similarity_search_with_score, store.as_retriever().invoke):
        with pytest.raises(ModelMismatchError, match=ANOTHER_LENGTH):
            search("the sea")  # type: ignore[operator]
    with pytest.raises(ModelMismatchError, match=ANOTHER_LENGTH):
        TinyDPRBlendRetriever(inner, documents).invoke("the sea")
    assert len(store.get_by_ids([str(documents[0].id)])) == 1, "what is not searched can be had"


def test_on_mismatch_warn_warns_once(inner: InMemoryVectorStore, embeddings: TinyDPREmbeddings) -> None:
    inner.embedding = embeddings
    store = TitledVectorStore(inner, on_mismatch="warn")
    with pytest.warns(UserWarning, match=ANOTHER_LENGTH) as caught:
        assert len(store.similarity_search("the sea", k=6)) == 6
    assert [warning.filename for warning in caught] == [__file__]
    store.similarity_search("the sea")  # a second warning would be an error
    with pytest.raises(ValueError, match="on_mismatch is 'ignore'; expected 'error' or 'warn'"):
        TitledVectorStore(inner, on_mismatch="ignore")  # type: ignore[arg-type]


def test_documents_without_stamps_are_found_by_any_model(
    other: TinyDPREmbeddings, embeddings: TinyDPREmbeddings, documents: list[Document]
) -> None:
    store = TitledVectorStore.from_documents(documents, other, stamp_documents=False)
    assert isinstance(store.vectorstore, InMemoryVectorStore)
    assert not any(STAMP_KEY in record["metadata"] for record in store.vectorstore.store.values())
    store.vectorstore.embedding = embeddings
    assert len(TitledVectorStore(store.vectorstore).similarity_search("the sea", k=9)) == 6


def test_a_store_that_ranks_otherwise_than_a_dot_product_pair_is_an_error_before_it_is_filled(
    pair_directory: Path, documents: list[Document]
) -> None:
    dot = TinyDPREmbeddings(pair_directory)
    message = "InMemoryVectorStore ranks by cosine, the model by dot product.* exact_dot=True or normalize=True"
    with pytest.raises(ModelMismatchError, match=message):
        TitledVectorStore(InMemoryVectorStore(dot))
    with pytest.raises(ModelMismatchError, match=message):
        TitledVectorStore.from_documents(documents, dot)
    with pytest.warns(UserWarning, match=message) as caught:
        store = TitledVectorStore.from_documents(documents, dot, on_mismatch="warn")
    assert [warning.filename for warning in caught] == [__file__]
    assert len(store.similarity_search("the sea", k=9)) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TitledVectorStore.from_documents(documents, TinyDPREmbeddings(pair_directory, exact_dot=True))


def test_a_bare_store_that_ranks_otherwise_warns_at_the_first_write(
    pair_directory: Path, documents: list[Document]
) -> None:
    bare = InMemoryVectorStore(TinyDPREmbeddings(pair_directory, title_separator=" | "))
    with pytest.warns(UserWarning, match="InMemoryVectorStore ranks by cosine, the model by dot product") as caught:
        bare.add_documents(documents)
    assert [warning.filename for warning in caught] == [__file__]
    bare.add_documents(documents)  # a second warning would be an error
