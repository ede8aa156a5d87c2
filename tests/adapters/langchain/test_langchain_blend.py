"""TinyDPRBlendRetriever: a vector store and the words of its documents, blended and kept in step."""

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever.adapters.langchain import TinyDPRBlendRetriever, TinyDPREmbeddings, TitledVectorStore

pytestmark = [pytest.mark.also_lowest, pytest.mark.langchain]


def in_memory(retriever: TinyDPRBlendRetriever) -> InMemoryVectorStore:
    assert isinstance(retriever.vectorstore, TitledVectorStore)
    assert isinstance(retriever.vectorstore.vectorstore, InMemoryVectorStore)
    return retriever.vectorstore.vectorstore


def titles(found: list[Document]) -> list[str]:
    return [document.metadata["title"] for document in found]


@pytest.fixture(scope="module")
def embeddings() -> TinyDPREmbeddings:
    """The bundled pair, whose vectors mean something."""
    return TinyDPREmbeddings()


@pytest.fixture
def retriever(embeddings: TinyDPREmbeddings, documents: list[Document]) -> TinyDPRBlendRetriever:
    return TinyDPRBlendRetriever.from_documents(documents, embeddings, k=3)


def test_documents_come_back_as_they_were_given(retriever: TinyDPRBlendRetriever, documents: list[Document]) -> None:
    found = retriever.invoke("Which insect fills wax combs?", k=6)
    assert sorted(found, key=lambda document: document.metadata["shelf"]) == documents
    found[0].metadata["title"] = "changed"
    assert retriever.invoke("Which insect fills wax combs?")[0].metadata["title"] != "changed"


def test_the_store_holds_texts_as_they_are_and_vectors_of_titles_and_texts(
    retriever: TinyDPRBlendRetriever, documents: list[Document], embeddings: TinyDPREmbeddings
) -> None:
    store = in_memory(retriever)
    assert [record["text"] for record in store.store.values()] == [document.page_content for document in documents]
    passages = [(document.metadata["title"], document.page_content) for document in documents]
    vectors = [record["vector"] for record in store.store.values()]
    np.testing.assert_allclose(vectors, embeddings.encoder.encode_passages(passages), atol=1e-5)


def test_without_embeddings_the_bundled_pair_embeds_titles_and_texts(documents: list[Document]) -> None:
    retriever = TinyDPRBlendRetriever.from_documents(documents, k=1)
    assert titles(retriever.invoke("Why does the sea rise and fall?")) == ["Tides"]
    [best, *_] = retriever.search("honey bee colonies", k=6)
    assert (best.document.metadata["title"], best.words) == ("Honey bee", ["honey", "bee", "colonies"])


def test_a_hit_says_where_it_stood_in_each_list_and_which_words_it_holds(
    retriever: TinyDPRBlendRetriever, documents: list[Document]
) -> None:
    question = "printing with movable type"
    hits = retriever.search(question, k=6)
    query = retriever.embeddings.embed_query(question)
    dense = {
        document.metadata["title"]: score
        for document, score in in_memory(retriever).similarity_search_with_score_by_vector(query, k=6)
    }
    ranked = sorted(dense, key=lambda title: -dense[title])
    assert {hit.document.metadata["title"]: hit.placement.dense_rank for hit in hits} == {
        title: rank for rank, title in enumerate(ranked, 1)
    }
    by_title = {hit.document.metadata["title"]: hit for hit in hits}
    assert by_title["Printing press"].placement.bm25_rank == 1
    assert by_title["Printing press"].words == ["printing", "movable", "type"]
    assert by_title["Tides"].placement.bm25_rank is None
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_documents_are_added_to_and_deleted_from_store_and_words(retriever: TinyDPRBlendRetriever) -> None:
    question = "What is a quokka?"
    [id] = retriever.add_documents([Document(page_content="A quokka is a marsupial.", metadata={"title": "Quokka"})])
    assert titles(retriever.invoke(question, k=1)) == ["Quokka"]
    [best, *_] = retriever.search(question)
    assert (best.placement.bm25_rank, best.document.id) == (1, id)
    retriever.delete([id])
    assert "Quokka" not in titles(retriever.invoke(question, k=100))
    with pytest.raises(ValueError, match=r"there is no document with the id .*rebuild"):
        retriever.delete([id])


def test_adding_and_deleting_work_asynchronously(retriever: TinyDPRBlendRetriever) -> None:
    async def add_ask_and_delete() -> list[list[str]]:
        ids = await retriever.aadd_documents([Document(page_content="a quokka", metadata={"title": "Quokka"})])
        added = titles(await retriever.ainvoke("quokka", k=1))
        await retriever.adelete(ids)
        return [added, titles(await retriever.ainvoke("quokka", k=100))]

    added, left = asyncio.run(add_ask_and_delete())
    assert added == ["Quokka"]
    assert "Quokka" not in left


def test_a_document_of_the_same_id_is_replaced(retriever: TinyDPRBlendRetriever, documents: list[Document]) -> None:
    changed = Document(page_content="It now says quokka.", metadata={"title": "Tides"}, id=documents[2].id)
    assert retriever.add_documents([changed]) == [documents[2].id]
    assert retriever.invoke("quokka", k=1) == [changed]
    assert len(retriever.invoke("quokka", k=100)) == len(documents)


def test_a_store_that_was_changed_elsewhere_is_counted_anew_by_rebuild(
    retriever: TinyDPRBlendRetriever, documents: list[Document]
) -> None:
    added = Document(page_content="A quokka is a marsupial.", metadata={"title": "Quokka"}, id="quokka")
    retriever.vectorstore.add_documents([added])
    retriever.vectorstore.delete([str(documents[2].id)])
    hits = {hit.document.metadata["title"]: hit for hit in retriever.search("quokka", k=100)}
    assert hits["Quokka"].document.page_content == "A quokka is a marsupial.", "found by the store alone"
    assert hits["Quokka"].placement.bm25_rank is None
    retriever.rebuild([*documents[:2], *documents[3:], added])
    assert retriever.search("quokka")[0].placement.bm25_rank == 1
    assert "Tides" not in titles(retriever.invoke("the sea rises twice a day", k=100))


@pytest.mark.parametrize("titled", [True, False])
def test_a_store_that_exists_is_taken_alone_or_as_a_titled_store(
    embeddings: TinyDPREmbeddings, documents: list[Document], titled: bool
) -> None:
    store = TitledVectorStore.from_documents(documents, embeddings)
    retriever = TinyDPRBlendRetriever(store if titled else store.vectorstore, documents, k=6)
    expected = TinyDPRBlendRetriever.from_documents(documents, embeddings, k=6)
    question = "Which insect stores food in wax combs?"
    assert retriever.search(question) == expected.search(question)


def test_a_filter_limits_the_words_too(retriever: TinyDPRBlendRetriever) -> None:
    def is_low(document: Document) -> bool:
        return bool(document.metadata["shelf"] < 2)

    question = "Why does the sea rise and fall?"
    assert titles(retriever.invoke(question, k=1)) == ["Tides"]
    assert sorted(titles(retriever.invoke(question, k=6, filter=is_low))) == ["Honey bee", "Sperm whale"]
    limited = TinyDPRBlendRetriever(
        retriever.vectorstore, retriever.invoke(question, k=6), k=6, search_kwargs={"filter": is_low}
    )
    assert sorted(titles(limited.invoke(question))) == ["Honey bee", "Sperm whale"]
    assert limited.invoke(question, filter=lambda document: False) == []


def test_documents_of_one_text_and_no_ids_are_told_apart_by_their_metadata(embeddings: TinyDPREmbeddings) -> None:
    same = [Document(page_content="The sea rises.", metadata={"page": page}) for page in range(3)]
    retriever = TinyDPRBlendRetriever(InMemoryVectorStore.from_documents(same, embeddings), same, k=9)
    assert [document.metadata["page"] for document in retriever.invoke("the sea")] == [0, 1, 2]


def test_it_works_asynchronously_and_in_batches(retriever: TinyDPRBlendRetriever, questions: dict[str, str]) -> None:
    expected = [retriever.invoke(question) for question in questions]
    assert asyncio.run(retriever.abatch(list(questions))) == expected
    assert retriever.batch(list(questions)) == expected
    assert [hit.document for hit in asyncio.run(retriever.asearch(next(iter(questions)), k=3))] == expected[0]


def test_eight_threads_find_what_one_finds(retriever: TinyDPRBlendRetriever, questions: dict[str, str]) -> None:
    repeated = list(questions) * 10
    alone = {question: retriever.invoke(question) for question in questions}
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(retriever.invoke, repeated)) == [alone[question] for question in repeated]


def test_a_copy_finds_the_same_and_changes_alone(retriever: TinyDPRBlendRetriever, documents: list[Document]) -> None:
    copied = copy.deepcopy(retriever)
    assert copied.search("wax combs") == retriever.search("wax combs")
    copied.delete([str(documents[0].id)])
    assert len(copied.invoke("wax combs", k=100)) == 5
    assert len(retriever.invoke("wax combs", k=100)) == 6


def test_a_retriever_that_has_searched_is_pickled(retriever: TinyDPRBlendRetriever) -> None:
    expected = retriever.search("wax combs")
    assert pickle.loads(pickle.dumps(retriever)).search("wax combs") == expected


def test_other_search_kwargs_beside_a_plain_filter_limit_the_words_too(
    embeddings: TinyDPREmbeddings, documents: list[Document]
) -> None:
    class Store(InMemoryVectorStore):
        def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
            def is_wanted(document: Document) -> bool:
                return document.metadata["shelf"] == kwargs["filter"]["shelf"] and kwargs["holds"] in str(document)

            return super().similarity_search_with_score(query, k, filter=is_wanted)

    retriever = TinyDPRBlendRetriever.from_documents(documents, embeddings, vectorstore_class=Store, k=6)
    found = retriever.invoke("tides", filter={"shelf": documents[0].metadata["shelf"]}, holds="no text has this")
    assert found == []
    [found] = retriever.invoke("wax", filter={"shelf": documents[0].metadata["shelf"]}, holds="")
    assert found == documents[0]


def test_an_id_that_is_given_twice_and_what_is_no_document_are_refused_before_the_store_is_changed(
    retriever: TinyDPRBlendRetriever,
) -> None:
    twins = [Document(page_content=text, id="twin") for text in ("one", "two")]
    with pytest.raises(ValueError, match="document 1 has the id 'twin' of another; expected each id once"):
        retriever.add_documents(twins)
    with pytest.raises(ValueError, match="document 1 has the id 'twin' of another"):
        TinyDPRBlendRetriever.from_documents(twins, retriever.embeddings)
    with pytest.raises(TypeError, match="document 0 is str; expected a LangChain Document"):
        retriever.add_documents(["text"])  # type: ignore[list-item]
    assert len(retriever.invoke("one", k=100)) == 6


def test_a_titled_store_tells_the_key_of_titles(embeddings: TinyDPREmbeddings) -> None:
    tide = Document(page_content="It rises.", metadata={"name": "Tide", "title": "Chapter 3"})
    store = TitledVectorStore.from_documents([tide], embeddings, title_key="name")
    [hit] = TinyDPRBlendRetriever(store, [tide]).search("Tide")
    assert (hit.words, hit.placement.bm25_rank) == (["tide"], 1)


def test_texts_that_begin_with_their_title_are_blended_as_titled_passages(documents: list[Document]) -> None:
    joined = [Document(page_content=f"{d.metadata['title']} | {d.page_content}", id=d.id) for d in documents]
    embeddings = TinyDPREmbeddings(title_separator=" | ")
    retriever = TinyDPRBlendRetriever(InMemoryVectorStore.from_documents(joined, embeddings), joined, k=6)
    expected = TinyDPRBlendRetriever.from_documents(documents, embeddings, k=6)
    hits, same = (
        retriever.search("Which insect stores food in wax combs?"),
        expected.search("Which insect stores food in wax combs?"),
    )
    assert [hit.placement for hit in hits] == [hit.placement for hit in same]


def test_other_embeddings_warn_once_that_titles_are_not_embedded(documents: list[Document]) -> None:
    fake = DeterministicFakeEmbedding(size=8)
    with pytest.warns(UserWarning, match=r"metadata\['title'\], but DeterministicFakeEmbedding embeds texts alone"):
        retriever = TinyDPRBlendRetriever.from_documents(documents, fake)
    retriever.add_documents(documents)  # a second warning would be an error
    TinyDPRBlendRetriever.from_documents(documents, fake, title_key=None)


def test_titles_may_be_left_out(embeddings: TinyDPREmbeddings, documents: list[Document]) -> None:
    retriever = TinyDPRBlendRetriever.from_documents(documents, embeddings, title_key=None)
    assert retriever.search("honey bee", k=6)[0].placement.bm25_rank is None, "the title is no part of the text"


def test_an_empty_store_gives_no_documents(embeddings: TinyDPREmbeddings) -> None:
    assert TinyDPRBlendRetriever(InMemoryVectorStore(embeddings)).invoke("anything") == []


def test_what_is_wrong_is_refused(retriever: TinyDPRBlendRetriever) -> None:
    with pytest.raises(ValueError, match="k is 0; expected at least 1"):
        TinyDPRBlendRetriever(retriever.vectorstore, k=0)
    with pytest.raises(TypeError, match="k is '3'; expected an int"):
        retriever.invoke("sea", k="3")
    with pytest.raises(ValueError, match="search_kwargs hold k=3; expected k as an argument of its own"):
        TinyDPRBlendRetriever(retriever.vectorstore, search_kwargs={"k": 3})
    with pytest.raises(TypeError, match=r"query 0 is None; expected str"):
        retriever.invoke(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ids is '12'; expected a list of ids"):
        retriever.delete("12")
