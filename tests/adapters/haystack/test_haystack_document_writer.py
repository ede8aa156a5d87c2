"""TinyDPRDocumentWriter embeds only new and changed documents, and deletes missing ones if asked."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack_checks import assert_same, store_in_memory, vectors

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder
from haystack_integrations.components.writers.dpr_tiny import TinyDPRDocumentWriter

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]

DELETING: dict[str, Any] = {"source_meta_field": "file", "delete_missing": True}


@pytest.fixture
def store() -> InMemoryDocumentStore:
    return store_in_memory()


@pytest.fixture
def writer(store: InMemoryDocumentStore, document_embedder: TinyDPRDocumentEmbedder) -> TinyDPRDocumentWriter:
    return TinyDPRDocumentWriter(store, document_embedder)


def counts(output: dict[str, int]) -> tuple[int, int, int]:
    """How many documents were written, unchanged and deleted."""
    return output["documents_written"], output["documents_unchanged"], output["documents_deleted"]


def pages(file: str, *texts: str) -> list[Document]:
    return [Document(content=text, meta={"title": file.title(), "file": file}) for text in texts]


def contents(store: Any) -> list[str]:
    return sorted(document.content for document in store.filter_documents())


def test_documents_are_embedded_and_written_once(
    writer: TinyDPRDocumentWriter,
    store: InMemoryDocumentStore,
    document_embedder: TinyDPRDocumentEmbedder,
    documents: list[Document],
) -> None:
    assert counts(writer.run(documents)) == (8, 0, 0)
    stored = {document.id: document for document in store.filter_documents()}
    assert_same([stored[d.id].embedding for d in documents], vectors(document_embedder, *documents))
    for document in documents:
        meta = stored[document.id].meta
        assert {**document.meta, STAMP_KEY: str(document_embedder.stamp)} == {
            name: value for name, value in meta.items() if name != "dpr_tiny_digest"
        }
    assert counts(writer.run(documents)) == (0, 8, 0)
    assert counts(writer.run([])) == (0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [{"content": "Another text."}, {"meta": {"title": "Another title", "number": 0}}, {"meta": {"title": "A"}}],
)
def test_a_document_of_the_same_id_is_embedded_again_when_text_title_or_meta_has_changed(
    change: dict[str, Any],
    writer: TinyDPRDocumentWriter,
    store: InMemoryDocumentStore,
    document_embedder: TinyDPRDocumentEmbedder,
    documents: list[Document],
) -> None:
    writer.run(documents)
    changed = replace(documents[0], **change)
    assert counts(writer.run([changed, *documents[1:]])) == (1, 7, 0)
    [stored] = store.filter_documents({"field": "id", "operator": "==", "value": changed.id})
    assert_same(stored.embedding, vectors(document_embedder, changed)[0])
    assert store.count_documents() == 8


def test_documents_are_embedded_again_for_another_model_and_for_titles_of_another_field(
    store: InMemoryDocumentStore, pair_directory: Path, small_directory: Path, documents: list[Document]
) -> None:
    for embedder in (
        TinyDPRDocumentEmbedder(pair_directory),
        TinyDPRDocumentEmbedder(small_directory),
        TinyDPRDocumentEmbedder(small_directory, max_length=16),
        TinyDPRDocumentEmbedder(small_directory, max_length=16, meta_fields_to_embed=["number"]),
    ):
        assert counts(TinyDPRDocumentWriter(store, embedder).run(documents)) == (8, 0, 0)
        assert counts(TinyDPRDocumentWriter(store, embedder).run(documents)) == (0, 8, 0)


def test_what_was_written_in_another_way_is_written_once_more(
    writer: TinyDPRDocumentWriter,
    store: InMemoryDocumentStore,
    document_embedder: TinyDPRDocumentEmbedder,
    documents: list[Document],
) -> None:
    store.write_documents(document_embedder.run(documents)["documents"])
    assert counts(writer.run(documents)) == (8, 0, 0)
    assert counts(writer.run(documents)) == (0, 8, 0)


def test_nothing_is_deleted_unless_asked(writer: TinyDPRDocumentWriter, store: InMemoryDocumentStore) -> None:
    writer.run(pages("river", "one", "two"))
    assert counts(writer.run(pages("river", "two"))) == (0, 1, 0)
    assert contents(store) == ["one", "two"]
    with pytest.raises(ValueError, match="sources are given, but delete_missing is False"):
        writer.run([], sources=["river"])


def test_what_is_gone_of_the_sources_of_a_run_is_deleted_and_nothing_else(
    store: InMemoryDocumentStore, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    writer = TinyDPRDocumentWriter(store, document_embedder, **DELETING)
    store.write_documents([Document(content="by hand"), *pages("tower", "of another program")])
    assert counts(writer.run([*pages("river", "one", "two"), *pages("city", "three")])) == (3, 0, 0)
    assert counts(writer.run(pages("river", "two", "four"))) == (1, 1, 1)
    assert contents(store) == ["by hand", "four", "of another program", "three", "two"]
    assert counts(writer.run(pages("river", "two"), sources=["city"])) == (0, 1, 2)
    assert contents(store) == ["by hand", "of another program", "two"]
    with pytest.raises(ValueError, match=r"meta\['file'\] of document nowhere is None; expected a str"):
        writer.run([*pages("city", "five"), Document(id="nowhere", content="six")])
    assert contents(store) == ["by hand", "of another program", "two"]


class FullStore(InMemoryDocumentStore):
    """A document store whose disk is full after 2,000 documents."""

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        if self.count_documents() + len(documents) > 2000:
            raise OSError("no space left on device")
        return super().write_documents(documents, policy)


def test_what_was_written_before_an_error_stays_and_nothing_is_deleted(small_directory: Path) -> None:
    store = FullStore()
    writer = TinyDPRDocumentWriter(
        store, TinyDPRDocumentEmbedder(small_directory, normalize_embeddings=True), **DELETING
    )
    writer.run(pages("city", "old"))
    documents = pages("city", *map(str, range(1500)))
    with pytest.raises(OSError, match="no space left"):
        writer.run([*documents, *pages("city", *map(str, range(1500, 2500)))])
    assert store.count_documents() == 1025
    assert "old" in contents(store)
    assert counts(writer.run(documents)) == (476, 1024, 1)


def test_of_two_documents_of_one_id_the_last_is_kept(
    writer: TinyDPRDocumentWriter, store: InMemoryDocumentStore
) -> None:
    twice = [Document(id="1", content="first"), Document(id="1", content="last")]
    assert counts(writer.run(twice)) == (1, 0, 0)
    assert counts(writer.run(twice)) == (0, 1, 0)
    assert contents(store) == ["last"]


def test_wrong_documents_are_refused_before_anything_is_written(
    writer: TinyDPRDocumentWriter, store: InMemoryDocumentStore, documents: list[Document]
) -> None:
    with pytest.raises(ValueError, match="document empty has no text"):
        writer.run([*documents, Document(id="empty")])
    assert store.count_documents() == 0


def test_a_store_that_ranks_otherwise_is_refused(
    document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]
) -> None:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    with pytest.raises(ModelMismatchError, match="ranks by cosine"):
        TinyDPRDocumentWriter(store, document_embedder).run(documents)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"document_store": "a store"}, TypeError, "has no filter_documents"),
        ({"document_embedder": "a model"}, TypeError, "document_embedder is a str"),
        ({"delete_missing": True}, ValueError, "source_meta_field is None"),
    ],
)
def test_wrong_parameters_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TinyDPRDocumentWriter(**{"document_store": InMemoryDocumentStore(), **options})


def test_run_async_does_what_run_does(writer: TinyDPRDocumentWriter, documents: list[Document]) -> None:
    assert counts(asyncio.run(writer.run_async(documents))) == (8, 0, 0)
