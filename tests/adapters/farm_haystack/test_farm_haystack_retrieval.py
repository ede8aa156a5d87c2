"""Searching a document store: the right documents, nearest first, from every call that Haystack offers."""

import copy
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from haystack import Answer, Document, Label
from haystack.document_stores import FAISSDocumentStore
from haystack.errors import HaystackError

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = pytest.mark.farm_haystack

OpenStore = Callable[..., FAISSDocumentStore]


def titles(documents: list[Document]) -> list[str]:
    return [document.meta["name"] for document in documents]


@pytest.fixture
def searching(minilm: TinyDPRRetriever, store: FAISSDocumentStore) -> TinyDPRRetriever:
    """The trained model over the filled store, without loading the model again."""
    retriever = copy.copy(minilm)
    retriever.document_store = store
    retriever.top_k = 3
    return retriever


def test_the_passage_that_answers_comes_first(searching: TinyDPRRetriever, questions: dict[str, str]) -> None:
    for question, title in questions.items():
        found = searching.retrieve(question)
        assert len(found) == 3
        assert titles(found)[0] == title
        scores = [document.score for document in found]
        assert scores == sorted(scores, reverse=True)


def test_a_batch_gives_what_single_queries_give(searching: TinyDPRRetriever, questions: dict[str, str]) -> None:
    together = searching.retrieve_batch(list(questions))
    assert [titles(found)[0] for found in together] == list(questions.values())
    for question, found in zip(questions, together, strict=True):
        alone = searching.retrieve(question)
        assert titles(found) == titles(alone)
        assert [document.score for document in found] == pytest.approx([document.score for document in alone])
    by_two = searching.retrieve_batch(list(questions), batch_size=2)
    assert [titles(found) for found in by_two] == [titles(found) for found in together]
    assert searching.retrieve_batch([]) == []


def test_documents_are_ranked_by_exact_dot_products(
    open_store: OpenStore, pair_directory: Path, documents: list[Document]
) -> None:
    store = open_store(embedding_dim=128)
    retriever = TinyDPRRetriever(store, pair_directory, scale_score=False)
    store.write_documents(documents)
    store.update_embeddings(retriever)
    query = "where is the tower of the first city"
    products = retriever.embed_documents(documents) @ retriever.embed_queries([query])[0]
    found = retriever.retrieve(query, top_k=12)
    assert titles(found) == [documents[row].meta["name"] for row in np.argsort(-products)]
    assert [document.score for document in found] == pytest.approx(np.sort(products)[::-1].tolist(), rel=1e-4)


@pytest.mark.parametrize("top_k", [1, 5, 12, 50])
def test_top_k_limits_the_documents_returned(searching: TinyDPRRetriever, top_k: int) -> None:
    assert len(searching.retrieve("ships", top_k=top_k)) == min(top_k, 12)
    assert [len(found) for found in searching.retrieve_batch(["ships", "bread"], top_k=top_k)] == [min(top_k, 12)] * 2


def test_scores_are_scaled_to_the_unit_interval_unless_scale_score_is_false(searching: TinyDPRRetriever) -> None:
    raw = searching.retrieve("ships at night", scale_score=False)
    scaled = searching.retrieve("ships at night")
    assert titles(raw) == titles(scaled)
    expected = [(document.score + 1) / 2 for document in raw]  # of cosines, in a store of dot products too
    assert [document.score for document in scaled] == pytest.approx(expected)
    [batch] = searching.retrieve_batch(["ships at night"], scale_score=False)
    assert batch[0].score == pytest.approx(raw[0].score)


def test_an_index_is_searched_by_name(
    searching: TinyDPRRetriever, store: FAISSDocumentStore, minilm: TinyDPRRetriever
) -> None:
    store.write_documents([Document(content="A hull keeps a ship afloat.", meta={"name": "Hull"})], index="ships")
    store.update_embeddings(minilm, index="ships")
    assert titles(searching.retrieve("ships at night", index="ships")) == ["Hull"]
    assert titles(searching.retrieve_batch(["ships at night"], index="ships")[0]) == ["Hull"]
    assert "Hull" not in titles(searching.retrieve("ships at night", top_k=12))


def test_a_call_may_name_another_document_store(
    searching: TinyDPRRetriever, open_store: OpenStore, minilm: TinyDPRRetriever
) -> None:
    other = open_store("other")
    other.write_documents([Document(content="A hull keeps a ship afloat.", meta={"name": "Hull"})])
    other.update_embeddings(minilm)
    for retriever in (searching, minilm):
        assert titles(retriever.retrieve("ships at night", document_store=other)) == ["Hull"]
        assert titles(retriever.retrieve_batch(["ships"], document_store=other)[0]) == ["Hull"]


def test_filters_and_headers_are_left_to_the_document_store(
    searching: TinyDPRRetriever, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(searching.retrieve("ships", filters={"topic": ["food"]})) == 3
    assert "filters are not implemented for the FAISSDocumentStore" in caplog.text
    with pytest.raises(NotImplementedError, match="does not support headers"):
        searching.retrieve("ships", headers={"Authorization": "Basic"})
    with pytest.raises(HaystackError, match="Number of filters does not match"):
        searching.retrieve_batch(["ships", "bread"], filters=[None])


def test_a_store_without_embeddings_gives_no_documents(
    open_store: OpenStore, minilm: TinyDPRRetriever, documents: list[Document]
) -> None:
    store = open_store()
    assert minilm.retrieve("ships", document_store=store) == []
    store.write_documents(documents)
    assert minilm.retrieve_batch(["ships", "bread"], document_store=store) == [[], []]


def test_documents_added_later_are_embedded_without_changing_the_others(
    store: FAISSDocumentStore, searching: TinyDPRRetriever
) -> None:
    before = {document.id: document.meta["vector_id"] for document in store.get_all_documents()}
    vectors = store.faiss_indexes["document"].reconstruct_n(0, 12)
    store.write_documents([Document(content="Bees dance to show where flowers are.", meta={"name": "Bee"})])
    assert "Bee" not in titles(searching.retrieve("How do bees talk about flowers?", top_k=12))

    untitled = copy.copy(searching)
    untitled.embed_title = False  # so that its vectors differ
    store.update_embeddings(untitled, update_existing_embeddings=False)
    assert store.get_embedding_count() == 13
    assert titles(searching.retrieve("How do bees talk about flowers?"))[0] == "Bee"
    after = {document.id: document.meta["vector_id"] for document in store.get_all_documents()}
    assert before.items() <= after.items()
    np.testing.assert_array_equal(store.faiss_indexes["document"].reconstruct_n(0, 12), vectors)


def test_updating_all_embeddings_replaces_those_of_another_model(
    store: FAISSDocumentStore, searching: TinyDPRRetriever, documents: list[Document]
) -> None:
    untitled = copy.copy(searching)
    untitled.embed_title = False
    store.update_embeddings(untitled)
    assert store.get_embedding_count() == 12
    stored = {document.id: document.embedding for document in store.get_all_documents(return_embedding=True)}
    expected = untitled.embed_documents(documents)
    np.testing.assert_allclose([stored[document.id] for document in documents], expected, atol=1e-5)


def test_unit_length_vectors_rank_alike_under_every_similarity(
    open_store: OpenStore, minilm: TinyDPRRetriever, documents: list[Document], questions: dict[str, str]
) -> None:
    rankings = []
    for similarity in ("dot_product", "cosine", "l2"):
        store = open_store(similarity, similarity=similarity)
        store.write_documents([Document.from_dict(document.to_dict()) for document in documents])
        store.update_embeddings(minilm)
        ranked = minilm.retrieve_batch(list(questions), top_k=12, document_store=store)
        rankings.append([titles(found) for found in ranked])
    assert rankings[0] == rankings[1] == rankings[2]


def test_eight_threads_embed_what_one_embeds(searching: TinyDPRRetriever, questions: dict[str, str]) -> None:
    """Not retrieve: the store's SQL session is shared by threads, and its rows now and then get into each other."""
    repeated = list(questions) * 20
    alone = {question: searching.embed_queries([question])[0] for question in questions}
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda question: searching.embed_queries([question])[0], repeated))
    np.testing.assert_array_equal(found, [alone[question] for question in repeated])


def labels(documents: list[Document], questions: dict[str, str]) -> list[Label]:
    by_title = {document.meta["name"]: document for document in documents}
    return [
        Label(
            query=question,
            document=by_title[title],
            answer=Answer(answer=title),
            is_correct_answer=True,
            is_correct_document=True,
            origin="gold-label",
        )
        for question, title in questions.items()
    ]


@pytest.mark.parametrize("top_k", [4, 8])
def test_eval_measures_labelled_questions(
    open_store: OpenStore,
    pair_directory: Path,
    documents: list[Document],
    questions: dict[str, str],
    top_k: int,
) -> None:
    store = open_store(embedding_dim=128)
    retriever = TinyDPRRetriever(store, pair_directory)
    store.write_documents(documents, index="eval_document")
    store.update_embeddings(retriever, index="eval_document")
    store.write_labels(labels(documents, questions))

    products = retriever.embed_queries(list(questions)) @ retriever.embed_documents(documents).T
    relevant = [titles(documents).index(title) for title in questions.values()]
    ranks = 1 + np.sum(products > products[np.arange(len(relevant)), relevant][:, None], axis=1)
    hits = ranks <= top_k
    assert 0 < hits.sum() < len(hits), "a random model finds some of them"

    measured = retriever.eval(top_k=top_k)
    assert measured["n_questions"] == len(questions)
    assert measured["recall"] == pytest.approx(hits.mean())
    assert measured["mrr"] == pytest.approx((hits / ranks).mean())
    assert measured["map"] == pytest.approx((hits / ranks).mean())


def test_eval_finds_every_answer_with_a_trained_model(
    store: FAISSDocumentStore,
    searching: TinyDPRRetriever,
    documents: list[Document],
    questions: dict[str, str],
) -> None:
    store.write_labels(labels(documents, questions))
    measured = searching.eval(doc_index="document", top_k=3)
    assert (measured["recall"], measured["mrr"], measured["map"]) == (1.0, 1.0, 1.0)
