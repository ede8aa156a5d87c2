"""TitledVectorStore: titles from the metadata reach the embeddings past any store, or adding is an error."""

from __future__ import annotations

import asyncio
import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore

pytestmark = [pytest.mark.also_lowest, pytest.mark.langchain]


@pytest.fixture(scope="module")
def plain(pair_directory: Any) -> TinyDPREmbeddings:
    return TinyDPREmbeddings(pair_directory, normalize=True)


def vectors_by_id(store: TitledVectorStore) -> dict[str, list[float]]:
    assert isinstance(store.vectorstore, InMemoryVectorStore)
    return {id: record["vector"] for id, record in store.vectorstore.store.items()}


def expected_vectors(documents: list[Document], embeddings: TinyDPREmbeddings) -> dict[str, Any]:
    passages = [(document.metadata.get("title"), document.page_content) for document in documents]
    vectors = embeddings.encoder.encode_passages(passages)
    return {str(document.id): pytest.approx(v, abs=1e-5) for document, v in zip(documents, vectors, strict=True)}


def test_from_documents_embeds_titles_and_keeps_documents(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    store = TitledVectorStore.from_documents(documents, plain)
    assert vectors_by_id(store) == expected_vectors(documents, plain)
    assert store.get_by_ids([str(document.id) for document in documents]) == documents


def test_documents_are_added_replaced_and_deleted(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    store = TitledVectorStore(InMemoryVectorStore(plain))
    ids = [str(document.id) for document in documents]
    assert store.add_documents(documents) == ids
    changed = Document(page_content=documents[2].page_content, metadata={"title": "Moon"}, id=documents[2].id)
    assert store.add_documents([changed]) == [documents[2].id]
    store.delete([ids[0]])
    left = [documents[1], changed, *documents[3:]]
    assert vectors_by_id(store) == expected_vectors(left, plain)


def test_texts_with_metadata_are_titled_documents(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    texts = [document.page_content for document in documents]
    metadatas = [document.metadata for document in documents]
    ids = [str(document.id) for document in documents]
    made = TitledVectorStore.from_texts(texts, plain, metadatas, ids=ids)
    assert vectors_by_id(made) == expected_vectors(documents, plain)
    added = TitledVectorStore(InMemoryVectorStore(plain))
    assert added.add_texts(texts, metadatas, ids=ids) == ids
    assert vectors_by_id(added) == vectors_by_id(made)
    with pytest.raises(ValueError, match="there are 6 texts and 5 metadatas"):
        added.add_texts(texts, metadatas[1:])


def test_one_text_under_two_titles_and_none_is_embedded_under_each(plain: TinyDPREmbeddings) -> None:
    titles = ["Whale", None, "Tide", "Whale", None, "Bee"]
    same = [
        Document(page_content="It is large.", metadata={"title": title} if title else {}, id=f"id-{number}")
        for number, title in enumerate(titles)
    ]
    store = TitledVectorStore.from_documents(same, plain)
    assert vectors_by_id(store) == expected_vectors(same, plain)
    added = TitledVectorStore(InMemoryVectorStore(plain))
    assert added.add_documents(same, ids=[f"new-{number}" for number in range(6)]) == [f"new-{n}" for n in range(6)]
    assert list(vectors_by_id(added)) == ["new-0", "new-3", "new-1", "new-4", "new-2", "new-5"]


def test_everything_works_asynchronously(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    async def add_and_find() -> tuple[TitledVectorStore, list[Document]]:
        store = await TitledVectorStore.afrom_documents(documents[:2], plain)
        await store.aadd_documents(documents[2:4])
        texts, metadatas = zip(*((d.page_content, d.metadata) for d in documents[4:]), strict=True)
        await store.aadd_texts(list(texts), list(metadatas), ids=[str(d.id) for d in documents[4:]])
        await asyncio.gather(*(store.aadd_documents([document]) for document in documents))
        found = await store.asimilarity_search("the sea", k=6)
        return store, found

    store, found = asyncio.run(add_and_find())
    assert vectors_by_id(store) == expected_vectors(documents, plain)
    assert sorted(found, key=lambda document: document.metadata["shelf"]) == documents


class Batching(InMemoryVectorStore):
    """Embeds one text to learn the length of vectors, then the others two at a time, backwards."""

    def add_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        assert self.embeddings is not None
        self.embeddings.embed_documents(["dummy text"])
        for start in range(len(documents) - 1, -1, -2):
            super().add_documents(documents[max(start - 1, 0) : start + 1])
        return [str(document.id) for document in documents]


def test_batches_and_their_order_are_the_stores_own(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    store = TitledVectorStore(Batching(plain))
    store.add_documents(documents)
    assert vectors_by_id(store) == expected_vectors(documents, plain)


def test_a_document_whose_title_is_missing_none_or_blank_is_embedded_as_its_text(plain: TinyDPREmbeddings) -> None:
    untitled = [Document(page_content=f"sea {n}", metadata=m, id=str(n)) for n, m in enumerate([{}, {"title": None}])]
    untitled.append(Document(page_content="sea 2", metadata={"title": " "}, id="2"))
    assert vectors_by_id(TitledVectorStore.from_documents(untitled, plain)) == expected_vectors(untitled, plain)


def test_title_key_names_the_metadata_of_the_title(plain: TinyDPREmbeddings) -> None:
    document = Document(page_content="It rises.", metadata={"name": "Tide", "title": "Chapter 3"}, id="1")
    [vector] = vectors_by_id(TitledVectorStore.from_documents([document], plain, title_key="name")).values()
    np.testing.assert_allclose(vector, plain.encoder.encode_passages([("Tide", "It rises.")])[0], atol=1e-5)
    [vector] = vectors_by_id(TitledVectorStore.from_documents([document], plain, title_key=None)).values()
    np.testing.assert_allclose(vector, plain.encoder.encode_passages(["It rises."])[0], atol=1e-5)


def test_a_title_that_stands_before_the_text_too_is_embedded_once(
    embeddings: TinyDPREmbeddings, documents: list[Document], separator: str
) -> None:
    """Documents whose text begins with the title and the embeddings' title_separator."""
    joined = [
        Document(page_content=f"{d.metadata['title']}{separator}{d.page_content}", metadata=d.metadata, id=d.id)
        for d in documents
    ]
    joined[0].metadata = {}  # the title stands in the text alone
    store = TitledVectorStore.from_documents(joined, embeddings)
    assert vectors_by_id(store) == expected_vectors(documents, embeddings)


class Changing(InMemoryVectorStore):
    """Embeds other texts than it stores."""

    def add_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        assert self.embeddings is not None
        self.embeddings.embed_documents([document.page_content.upper() for document in documents])
        return super().add_documents(documents, ids)


class InAnotherThread(InMemoryVectorStore):
    """Embeds in another thread, outside the context of the call."""

    def add_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(super().add_documents, documents, ids).result()


@pytest.mark.filterwarnings("ignore:documents have titles")  # the other thread has no announced titles
@pytest.mark.parametrize(
    ("store_class", "message"),
    [
        (Changing, r"embeds the text 'IT LIVES IN .*, which is none of those that it was given"),
        (InAnotherThread, r"did not embed 6 of 6 texts together with their titles, such as "),
    ],
)
def test_a_store_past_which_titles_cannot_come_is_an_error_and_keeps_nothing(
    store_class: type[InMemoryVectorStore], message: str, plain: TinyDPREmbeddings, documents: list[Document]
) -> None:
    store = TitledVectorStore(store_class(plain))
    with pytest.raises(ValueError, match=message):
        store.add_documents(documents)
    assert vectors_by_id(store) == {}
    untitled = [Document(page_content=document.page_content) for document in documents]
    assert len(store.add_documents(untitled)) == 6, "nothing is lost where there are no titles"


def test_other_embeddings_are_refused_before_anything_is_embedded(documents: list[Document]) -> None:
    fake = DeterministicFakeEmbedding(size=8)
    with pytest.raises(TypeError, match=r"embeds by DeterministicFakeEmbedding; expected TinyDPREmbeddings"):
        TitledVectorStore.from_documents(documents, fake)
    with pytest.raises(TypeError, match=r"embeds by DeterministicFakeEmbedding; expected TinyDPREmbeddings"):
        TitledVectorStore(InMemoryVectorStore(fake))


def test_a_store_that_hides_its_embeddings_needs_them(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    class Hiding(InMemoryVectorStore):
        embeddings = None  # type: ignore[assignment]

    with pytest.raises(ValueError, match="Hiding does not tell its embeddings; pass them as embeddings="):
        TitledVectorStore(Hiding(plain))
    store = TitledVectorStore(Hiding(plain), embeddings=plain)
    store.add_documents(documents)
    assert store.similarity_search("the sea", k=1)


def test_wrong_titles_keys_and_documents_are_refused_before_anything_is_added(plain: TinyDPREmbeddings) -> None:
    store = TitledVectorStore(InMemoryVectorStore(plain))
    good = Document(page_content="sea", metadata={"title": "Tide"})
    with pytest.raises(TypeError, match=r"metadata\['title'\] of document 1 is int 1984; expected str or None"):
        store.add_documents([good, Document(page_content="sea", metadata={"title": 1984})])
    with pytest.raises(TypeError, match="document 1 is str; expected a LangChain Document"):
        store.add_documents([good, "sea"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="title_key is 3; expected a key of the metadata"):
        TitledVectorStore(store.vectorstore, title_key=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="title_key is empty"):
        TitledVectorStore(store.vectorstore, title_key="")
    assert vectors_by_id(store) == {}


@pytest.mark.parametrize("key", ["Title", "name", "heading", "source title", "Header 1"])
def test_titles_under_another_key_warn_once_with_the_remedy(key: str, plain: TinyDPREmbeddings) -> None:
    misled = [Document(page_content=f"text {n}", metadata={key: f"Title {n}", "page": n}) for n in range(3)]
    with pytest.warns(UserWarning, match=rf"no metadata\['title'\].*metadata\['{key}'\].*title_key='{key}'") as caught:
        store = TitledVectorStore.from_documents(misled, plain)
    assert [warning.filename for warning in caught] == [__file__]
    store.add_documents(misled)  # a second warning would be an error


def test_titles_that_are_used_or_declined_warn_of_nothing(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    named = [Document(page_content="text", metadata={"name": "Ann"}), documents[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TitledVectorStore.from_documents(named, plain)
        TitledVectorStore.from_documents(documents, plain, title_key=None)
        TitledVectorStore.from_documents([Document(page_content="text", metadata={"page": 1})], plain)


def test_a_plain_store_that_leaves_titles_behind_warns_once(pair_directory: Any, documents: list[Document]) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, normalize=True)
    with pytest.warns(UserWarning, match=r"titles in metadata\['title'\].*TitledVectorStore\(vectorstore\)") as caught:
        store = InMemoryVectorStore.from_documents(documents, embeddings)
    assert [warning.filename for warning in caught] == [__file__]
    store.add_documents(documents)  # a second warning would be an error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        untitled = [Document(page_content=document.page_content) for document in documents]
        InMemoryVectorStore.from_documents(untitled, TinyDPREmbeddings(pair_directory, normalize=True))
        InMemoryVectorStore.from_documents(
            documents, TinyDPREmbeddings(pair_directory, title_separator=" | ", normalize=True)
        )


def test_a_copy_and_a_pickle_find_the_same(plain: TinyDPREmbeddings, documents: list[Document]) -> None:
    store = TitledVectorStore.from_documents(documents, plain)
    for twin in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        twin.delete([str(documents[0].id)])
        assert len(twin.similarity_search("the sea", k=9)) == 5
    assert len(store.similarity_search("the sea", k=9)) == 6


def test_its_repr_shows_the_store_and_the_model(plain: TinyDPREmbeddings) -> None:
    shown = repr(TitledVectorStore(InMemoryVectorStore(plain), title_key="name"))
    assert shown.startswith("TitledVectorStore(InMemoryVectorStore, title_key='name', TinyDPREmbeddings(DualEncoder(")
