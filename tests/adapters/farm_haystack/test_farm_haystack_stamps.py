"""Stamps of farm-haystack's documents: retrieval with another model is an error or a warning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.document_stores import FAISSDocumentStore
from model_folders import write_pair

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = pytest.mark.farm_haystack

OpenStore = Callable[..., FAISSDocumentStore]


@pytest.fixture(scope="module")
def other_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another pair of the same width."""
    return write_pair(tmp_path_factory.mktemp("another"), layers=1)


@pytest.fixture
def indexed(open_store: OpenStore, documents: list[Document], pair_directory: Path) -> FAISSDocumentStore:
    """Documents that the first pair has embedded and stamped."""
    store = open_store(embedding_dim=128)
    store.write_documents(documents)
    store.update_embeddings(TinyDPRRetriever(store, pair_directory, progress_bar=False))
    return store


@pytest.mark.parametrize("mode", ["dense", "blend"])
def test_documents_of_another_model_are_refused(indexed: FAISSDocumentStore, other_directory: Path, mode: str) -> None:
    other = TinyDPRRetriever(indexed, other_directory, mode=mode)
    message = (
        "the stored vectors are of pair.* passage 156 tokens .*, the model that asks has another.*: another model; "
    )
    with pytest.raises(ModelMismatchError, match=message):
        other.retrieve("Which fish swims?")
    with pytest.raises(ModelMismatchError, match=message):
        other.retrieve_batch(["Which fish swims?"])


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"max_seq_len_passage": 40}, "cut at another length; load the model with a passage length of 156"),
        ({"pooling": "mean"}, "the same name, but other weights"),
    ],
)
def test_what_differs_is_said(
    indexed: FAISSDocumentStore, pair_directory: Path, options: dict[str, Any], difference: str
) -> None:
    with pytest.raises(ModelMismatchError, match=difference):
        TinyDPRRetriever(indexed, pair_directory, **options).retrieve("Which fish swims?")


def test_swapped_sides_are_found_out(open_store: OpenStore, documents: list[Document], pair_directory: Path) -> None:
    query, passage = pair_directory / "query_encoder", pair_directory / "passage_encoder"
    store = open_store(embedding_dim=128)
    store.write_documents(documents)
    store.update_embeddings(TinyDPRRetriever(store, query_embedding_model=query, passage_embedding_model=query))
    with pytest.raises(ModelMismatchError, match="the sides are swapped, the model for questions made them"):
        TinyDPRRetriever(store, pair_directory).retrieve("Which fish swims?")
    swapped = TinyDPRRetriever(store, query_embedding_model=passage, passage_embedding_model=query)
    with pytest.raises(ModelMismatchError, match=r"the model for questions is .*, the passage side of a pair"):
        swapped.retrieve("Which fish swims?")


def test_a_mismatch_may_be_a_warning(indexed: FAISSDocumentStore, other_directory: Path) -> None:
    other = TinyDPRRetriever(indexed, other_directory, top_k=3, on_mismatch="warn")
    with pytest.warns(UserWarning, match="the stored vectors are of .*: another model"):
        assert len(other.retrieve("Which fish swims?")) == 3
    with pytest.raises(ValueError, match="on_mismatch is 'ignore'; expected 'error' or 'warn'"):
        TinyDPRRetriever(model=other_directory, on_mismatch="ignore")


def test_documents_without_a_stamp_are_taken_as_they_are(
    open_store: OpenStore, documents: list[Document], pair_directory: Path, other_directory: Path
) -> None:
    store = open_store(embedding_dim=128)
    store.write_documents(documents)
    silent = TinyDPRRetriever(store, pair_directory, stamp_documents=False)
    store.update_embeddings(silent)
    assert STAMP_KEY not in silent.retrieve("Which fish swims?")[0].meta
    assert len(TinyDPRRetriever(store, other_directory, top_k=2).retrieve("Which fish swims?")) == 2


def test_another_update_of_the_vectors_replaces_the_stamps(indexed: FAISSDocumentStore, other_directory: Path) -> None:
    other = TinyDPRRetriever(indexed, other_directory, top_k=12)
    indexed.update_embeddings(other)
    found = other.retrieve("Which fish swims?")
    assert {document.meta[STAMP_KEY] for document in found} == {str(other.encoder.stamp)}
    assert {document.meta["name"] for document in found} == {document.id for document in found}


def test_only_rows_whose_vectors_are_made_are_stamped(
    indexed: FAISSDocumentStore, documents: list[Document], pair_directory: Path, other_directory: Path
) -> None:
    first, other = TinyDPRRetriever(indexed, pair_directory), TinyDPRRetriever(indexed, other_directory)
    indexed.write_documents([Document(id="Kite", content="It flies on a line.", meta={"name": "Kite"})])
    others = [Document(id=f"other {one.id}", content=one.content, meta=one.meta) for one in documents[:3]]
    indexed.write_documents(others, index="others")
    indexed.update_embeddings(other, index="others")
    indexed.update_embeddings(first, update_existing_embeddings=False)
    for index, retriever, count in (("document", first, 13), ("others", other, 3)):
        found = retriever.retrieve("What flies?", index=index, top_k=20)
        assert [document.meta.get(STAMP_KEY) for document in found] == [str(retriever.encoder.stamp)] * count


def test_embedded_documents_carry_their_stamp_into_any_store(
    documents: list[Document], retriever: TinyDPRRetriever
) -> None:
    retriever.embed_documents(documents)
    assert [document.meta[STAMP_KEY] for document in documents] == [str(retriever.encoder.stamp)] * len(documents)
    assert documents[0].meta["name"] == "Lighthouse"
