"""mode="blend": vectors and BM25 together over stores that have no BM25 of their own, kept in step with them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.document_stores import FAISSDocumentStore

from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = pytest.mark.farm_haystack

OpenStore = Callable[..., FAISSDocumentStore]

QUOKKA = Document(content="A quokka is a small marsupial.", id="quokka", meta={"name": "Quokka", "topic": "animal"})


def titles(documents: list[Document]) -> list[str]:
    return [document.meta["name"] for document in documents]


@pytest.fixture(scope="session")
def blending() -> TinyDPRRetriever:
    """The bundled pair, whose vectors mean something."""
    return TinyDPRRetriever(mode="blend", scale_score=False, progress_bar=False)


@pytest.fixture
def small_store(open_store: OpenStore, documents: list[Document], blending: TinyDPRRetriever) -> FAISSDocumentStore:
    filled = open_store(embedding_dim=128)
    filled.write_documents(documents)
    filled.update_embeddings(blending)
    return filled


def test_words_count_beside_vectors(
    store: FAISSDocumentStore, minilm_directory: Path, minilm: TinyDPRRetriever, questions: dict[str, str]
) -> None:
    blending = TinyDPRRetriever(store, minilm_directory, mode="blend")
    for question, title in questions.items():
        assert title in titles(blending.retrieve(question, top_k=2))
    rare_word = "tangy glass tail"
    assert set(titles(blending.retrieve(rare_word, top_k=3))) == {"Sourdough", "Greenhouse", "Comet"}
    assert set(titles(minilm.retrieve(rare_word, top_k=3, document_store=store))) != {
        "Sourdough",
        "Greenhouse",
        "Comet",
    }


def test_documents_are_those_of_the_store_without_vectors(
    small_store: FAISSDocumentStore, blending: TinyDPRRetriever, documents: list[Document]
) -> None:
    found = {document.id: document for document in blending.retrieve("ships", top_k=12, document_store=small_store)}
    assert {id: document.content for id, document in found.items()} == {d.id: d.content for d in documents}
    assert all(document.embedding is None for document in found.values())


def test_scores_fall_and_are_scaled_when_asked_for(small_store: FAISSDocumentStore, blending: TinyDPRRetriever) -> None:
    raw = blending.retrieve("warns ships at night", document_store=small_store)
    assert [document.score for document in raw] == sorted((document.score for document in raw), reverse=True)
    scaled = blending.retrieve("warns ships at night", document_store=small_store, scale_score=True)
    assert titles(scaled) == titles(raw)
    assert all(0 < document.score < 1 for document in scaled)


@pytest.mark.filterwarnings("ignore:Coercing Alias object")  # of farm-haystack's own query
def test_what_is_written_updated_and_deleted_is_followed(
    small_store: FAISSDocumentStore, blending: TinyDPRRetriever, documents: list[Document]
) -> None:
    assert "Quokka" not in titles(blending.retrieve("quokka", document_store=small_store))
    small_store.write_documents([QUOKKA])
    assert titles(blending.retrieve("quokka", document_store=small_store))[0] == "Quokka", "found by its words alone"
    small_store.update_embeddings(blending, update_existing_embeddings=False)
    assert titles(blending.retrieve("quokka", document_store=small_store))[0] == "Quokka"
    small_store.delete_documents(ids=["quokka"])
    assert "Quokka" not in titles(blending.retrieve("quokka", top_k=100, document_store=small_store))

    changed = Document(content="It says quokka now.", id="Owl", meta={"name": "Owl", "topic": "animal"})
    small_store.write_documents([changed], duplicate_documents="overwrite")
    small_store.update_embeddings(blending)
    assert blending.retrieve("quokka", top_k=1, document_store=small_store)[0].content == "It says quokka now."


def test_filters_hold_in_a_store_that_ignores_them(small_store: FAISSDocumentStore, blending: TinyDPRRetriever) -> None:
    found = blending.retrieve("sun", filters={"topic": ["sky"]}, top_k=12, document_store=small_store)
    assert sorted(titles(found)) == ["Aurora", "Comet", "Eclipse"]


def test_a_batch_finds_what_single_questions_find(
    small_store: FAISSDocumentStore, blending: TinyDPRRetriever, questions: dict[str, str]
) -> None:
    single = [titles(blending.retrieve(question, document_store=small_store)) for question in questions]
    batch = blending.retrieve_batch(list(questions), document_store=small_store)
    assert [titles(found) for found in batch] == single
    filters = [{"topic": ["sky"]}, None]
    first, second = blending.retrieve_batch(["sun", "sun"], filters, top_k=12, document_store=small_store)
    assert (len(first), len(second)) == (3, 12)
    with pytest.raises(ValueError, match="found 1 filters for 2 queries"):
        blending.retrieve_batch(["sun", "moon"], [None], document_store=small_store)


def test_each_index_of_each_store_has_words_of_its_own(
    small_store: FAISSDocumentStore, open_store: OpenStore, blending: TinyDPRRetriever
) -> None:
    other = open_store("other", embedding_dim=128)
    other.write_documents([QUOKKA])
    other.update_embeddings(blending)
    assert titles(blending.retrieve("quokka", document_store=other)) == ["Quokka"]
    assert len(blending.retrieve("quokka", top_k=100, document_store=small_store)) == 12
    assert titles(blending.retrieve("quokka", document_store=other)) == ["Quokka"]


def test_titles_are_among_the_words_unless_they_are_not_embedded(small_store: FAISSDocumentStore) -> None:
    shares = {}
    for embed_title in (True, False):
        retriever = TinyDPRRetriever(small_store, mode="blend", embed_title=embed_title, scale_score=False)
        best, second, *_ = retriever.retrieve("an eclipse")
        assert (best.id, second.id) == ("Eclipse", "Aurora")
        shares[embed_title] = second.score / best.score
    assert shares[True] < shares[False] - 0.05, "the word of the title sets its document apart"


def test_an_empty_store_gives_no_documents(open_store: OpenStore, blending: TinyDPRRetriever) -> None:
    assert blending.retrieve("ships", document_store=open_store(embedding_dim=128)) == []


def test_a_pipeline_from_yaml_blends(
    open_store: OpenStore, documents: list[Document], pair_directory: Path, tmp_path: Path
) -> None:
    store = open_store(embedding_dim=128)
    store.write_documents(documents)
    retriever = TinyDPRRetriever(store, pair_directory, mode="blend", progress_bar=False)
    store.update_embeddings(retriever)
    store.save(tmp_path / "documents.faiss")
    pipeline = Pipeline()
    pipeline.add_node(retriever, name="Retriever", inputs=["Query"])
    config = pipeline.get_config()
    [saved] = [part for part in config["components"] if part["type"] == "FAISSDocumentStore"]
    saved["params"] = {"faiss_index_path": str(tmp_path / "documents.faiss")}
    loaded = Pipeline.load_from_config(config)
    assert loaded.get_node("Retriever").mode == "blend"
    for question in ("warns ships at night", "glass"):
        expected = pipeline.run(query=question)["documents"]
        actual = loaded.run(query=question)["documents"]
        assert [(d.id, d.score) for d in actual] == [(d.id, d.score) for d in expected]


def test_a_pickle_counts_the_words_again(small_store: FAISSDocumentStore, blending: TinyDPRRetriever) -> None:
    copied = pickle.loads(pickle.dumps(blending))
    expected = blending.retrieve("warns ships at night", document_store=small_store)
    assert titles(copied.retrieve("warns ships at night", document_store=small_store)) == titles(expected)


def test_another_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="mode is 'bm25'; expected 'dense' or 'blend'"):
        TinyDPRRetriever(mode="bm25")
