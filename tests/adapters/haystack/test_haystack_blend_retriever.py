"""TinyDPRBlendRetriever: vectors and words over a document store, kept in step with it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack_checks import AsyncPipeline, store_in_memory

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder
from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRBlendRetriever

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]

QUOKKA = Document(content="A quokka is a small marsupial.", meta={"title": "Quokka", "number": 8})
LOW_NUMBERS = {"field": "meta.number", "operator": "<", "value": 2}


def titles(output: dict[str, Any]) -> list[str]:
    return [document.meta["title"] for document in output["documents"]]


# The bundled pair, whose vectors mean something.
@pytest.fixture(scope="module")
def text_embedder() -> TinyDPRTextEmbedder:
    return TinyDPRTextEmbedder()


@pytest.fixture(scope="module")
def document_embedder() -> TinyDPRDocumentEmbedder:
    return TinyDPRDocumentEmbedder()


@pytest.fixture
def store(document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]) -> InMemoryDocumentStore:
    filled = store_in_memory()
    filled.write_documents(document_embedder.run(documents)["documents"])
    return filled


@pytest.fixture
def retriever(store: InMemoryDocumentStore, text_embedder: TinyDPRTextEmbedder) -> TinyDPRBlendRetriever:
    return TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), text_embedder)


def test_the_bundled_pair_answers_by_default(documents: list[Document], questions: dict[str, str]) -> None:
    store = store_in_memory()
    store.write_documents(TinyDPRDocumentEmbedder().run(documents)["documents"])
    retriever = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), top_k=2)
    assert [title in titles(retriever.run(question)) for question, title in questions.items()] == [True] * 8


def test_an_explanation_gives_rank_and_score_in_each_list_and_the_matched_words(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore, text_embedder: TinyDPRTextEmbedder
) -> None:
    question = "Which canal joins the Red Sea?"
    output = retriever.run(question)
    embedding = text_embedder.run(question)["embedding"]
    dense = InMemoryEmbeddingRetriever(store, top_k=100).run(query_embedding=embedding)["documents"]
    ranks = {document.id: (rank, document.score) for rank, document in enumerate(dense, 1)}
    assert {e["id"]: (e["embedding_rank"], e["embedding_score"]) for e in output["explanations"]} == ranks
    by_title = dict(zip(titles(output), output["explanations"], strict=True))
    assert by_title["Suez Canal"]["bm25_rank"] == 1
    assert by_title["Suez Canal"]["words"] == ["canal", "joins", "red", "sea"]
    assert by_title["Octopus"]["bm25_rank"] is by_title["Octopus"]["bm25_score"] is None
    assert [e["score"] for e in output["explanations"]] == [document.score for document in output["documents"]]


def test_documents_are_those_of_the_store_without_vectors(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore
) -> None:
    found = {document.id: document for document in retriever.run("red sea", top_k=8)["documents"]}
    assert {id: (document.content, document.meta) for id, document in found.items()} == {
        document.id: (document.content, document.meta) for document in store.filter_documents()
    }
    assert all(document.embedding is None for document in found.values())


def test_similarities_come_from_the_vectors_where_the_retriever_returns_them(
    documents: list[Document], pair_directory: Path
) -> None:
    embedded = TinyDPRDocumentEmbedder(pair_directory).run(documents)["documents"]
    rankings = []
    for similarity in ("dot_product", "cosine"):  # vectors of any length, which the two rank differently
        store = InMemoryDocumentStore(embedding_similarity_function=similarity)  # type: ignore[arg-type]
        store.write_documents(embedded)
        embedder = TinyDPRTextEmbedder(pair_directory, on_mismatch="warn")
        parts = InMemoryEmbeddingRetriever(store, return_embedding=True), embedder
        output = TinyDPRBlendRetriever(*parts).run("Who made the first program?")
        assert all(document.embedding is not None for document in output["documents"])
        rankings.append(titles(output))
    assert rankings[0] == rankings[1]


def test_what_is_written_and_deleted_is_found_and_not_found(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    assert "Quokka" not in titles(retriever.run("quokka"))
    store.write_documents(document_embedder.run([QUOKKA])["documents"])
    explanation = retriever.run("quokka", top_k=1)["explanations"][0]
    assert (explanation["id"], explanation["bm25_rank"], explanation["words"]) == (QUOKKA.id, 1, ["quokka"])
    store.delete_documents([QUOKKA.id])
    assert "Quokka" not in titles(retriever.run("quokka"))


def test_a_document_that_was_overwritten_is_counted_anew(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    retriever.run("quokka")
    [first, *_] = store.filter_documents()
    changed = Document(id=first.id, content="It says quokka now.", meta=first.meta)
    store.write_documents(document_embedder.run([changed])["documents"], policy=DuplicatePolicy.OVERWRITE)
    output = retriever.run("quokka", top_k=1)
    assert output["documents"][0].content == "It says quokka now."
    assert output["explanations"][0]["words"] == ["quokka"]


def test_one_document_in_the_place_of_another_is_noticed_or_told_by_synchronize(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore, documents: list[Document]
) -> None:
    retriever.run("penicillin mould")
    store.delete_documents([document.id for document in documents if document.meta["title"] == "Penicillin"])
    store.write_documents([QUOKKA])  # without a vector, so that the embedding retriever does not find it
    assert "Penicillin" not in titles(retriever.run("penicillin mould"))
    retriever.synchronize()
    assert titles(retriever.run("quokka"))[0] == "Quokka"


def test_filters_limit_vectors_and_words(retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore) -> None:
    question = "Which charter did King John seal?"
    assert titles(retriever.run(question, top_k=1)) == ["Magna Carta"]
    assert sorted(titles(retriever.run(question, filters=LOW_NUMBERS))) == ["Mount Everest", "Photosynthesis"]
    limited = TinyDPRBlendRetriever(retriever.retriever, retriever.text_embedder, filters=LOW_NUMBERS)
    assert sorted(titles(limited.run(question))) == ["Mount Everest", "Photosynthesis"]
    other = {"field": "meta.title", "operator": "==", "value": "Octopus"}
    assert titles(limited.run(question, filters=other)) == ["Octopus"]


def test_titles_count_unless_another_meta_field_is_named(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore, text_embedder: TinyDPRTextEmbedder
) -> None:
    assert retriever.run("octopus", top_k=1)["explanations"][0]["words"] == ["octopus"]
    for field in (None, "missing"):
        other = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), text_embedder, title_meta_field=field)
        assert {e["bm25_rank"] for e in other.run("octopus")["explanations"]} == {None}
    numbered = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), text_embedder, title_meta_field="number")
    with pytest.raises(TypeError, match=r"meta\['number'\] of document .* is a int; expected a str or None"):
        numbered.run("octopus")


def test_an_empty_store_gives_no_documents_and_one_without_vectors_those_with_the_words(
    documents: list[Document], text_embedder: TinyDPRTextEmbedder
) -> None:
    store = store_in_memory()
    retriever = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), text_embedder)
    assert retriever.run("octopus") == {"documents": [], "explanations": []}
    store.write_documents(documents)
    assert titles(retriever.run("octopus")) == ["Octopus"]


def test_run_async_and_async_pipelines_return_what_run_returns(
    retriever: TinyDPRBlendRetriever, questions: dict[str, str]
) -> None:
    expected = [retriever.run(question) for question in questions]
    pipeline = AsyncPipeline()
    pipeline.add_component("retriever", retriever)

    async def ask() -> list[dict[str, Any]]:
        runs = (pipeline.run_async({"retriever": {"query": question}}) for question in questions)
        return [output["retriever"] for output in await asyncio.gather(*runs)]

    assert asyncio.run(ask()) == expected
    assert asyncio.run(retriever.run_async("octopus", LOW_NUMBERS, 1)) == retriever.run("octopus", LOW_NUMBERS, 1)


FRESH_PROCESS = """
import json, sys
from pathlib import Path
from haystack import Pipeline
from haystack.document_stores.in_memory import InMemoryDocumentStore

folder = Path(sys.argv[1])
InMemoryDocumentStore.load_from_disk(str(folder / "store.json"))  # stores of one index name share their documents
pipeline = Pipeline.loads((folder / "pipeline.yaml").read_text())
output = pipeline.run({"retriever": {"query": sys.argv[2]}})["retriever"]
assert not {"tensorflow", "transformers"} & sys.modules.keys()
print(json.dumps([document.id for document in output["documents"]]))
"""


def test_a_pipeline_from_yaml_answers_alike_in_a_fresh_process(
    retriever: TinyDPRBlendRetriever, store: InMemoryDocumentStore, tmp_path: Path
) -> None:
    pipeline = Pipeline()
    named = TinyDPRBlendRetriever(
        retriever.retriever, retriever.text_embedder, top_k=5, bm25_path=str(tmp_path / "words.sqlite")
    )
    pipeline.add_component("retriever", named)
    (tmp_path / "pipeline.yaml").write_text(pipeline.dumps())
    store.save_to_disk(str(tmp_path / "store.json"))
    question = "Which canal links the Red Sea to the Mediterranean?"
    expected = pipeline.run({"retriever": {"query": question}})["retriever"]["documents"]
    named.close()
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path), question]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == [document.id for document in expected]


class CappedStore(InMemoryDocumentStore):
    """Lists but some of its documents."""

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        return super().filter_documents(filters)[:3]


@component
class FirstDocuments:
    """An embedding retriever that finds the first documents of its store, whatever is asked."""

    def __init__(self, document_store: InMemoryDocumentStore) -> None:
        self.document_store = document_store

    @component.output_types(documents=list[Document])
    def run(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        return {"documents": self.document_store.filter_documents()[:2]}


def test_a_store_that_lists_but_some_of_its_documents_is_refused(
    documents: list[Document], text_embedder: TinyDPRTextEmbedder
) -> None:
    capped = FirstDocuments(CappedStore())
    capped.document_store.write_documents(documents)
    with pytest.raises(ValueError, match=r"CappedStore.filter_documents\(\) lists 3 of 8 .*TinyDPRBlendJoiner"):
        TinyDPRBlendRetriever(capped, text_embedder).run("octopus")


class OneIdAtATime:
    """A store whose filters accept only one id at a time, as Chroma's do."""

    def __init__(self, documents: list[Document]) -> None:
        self._store = store_in_memory()
        self._store.write_documents(documents)
        self.count_documents = self._store.count_documents

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        if filters and (filters["field"], filters["operator"]) == ("id", "in"):
            raise FilterError("id filter only supports '=='")
        return self._store.filter_documents(filters)


def test_documents_that_only_words_find_are_had_from_a_store_that_finds_one_id_at_a_time(
    documents: list[Document], text_embedder: TinyDPRTextEmbedder, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    store: Any = OneIdAtATime(document_embedder.run(documents)["documents"])
    found = titles(TinyDPRBlendRetriever(FirstDocuments(store), text_embedder).run("octopus Magna Carta"))
    assert {"Octopus", "Magna Carta"} < set(found)


def test_vectors_of_another_width_are_refused(text_embedder: TinyDPRTextEmbedder) -> None:
    store = InMemoryDocumentStore()
    store.write_documents([Document(content="sea", embedding=[0.5, 0.5])])
    with pytest.raises(ValueError, match=r"has 2 floats, those of the text embedder 128; .* the same model"):
        TinyDPRBlendRetriever(FirstDocuments(store), text_embedder).run("sea")


def test_parts_that_do_not_fit_are_refused(store: InMemoryDocumentStore, text_embedder: TinyDPRTextEmbedder) -> None:
    with pytest.raises(TypeError, match="expected an embedding retriever over a document store"):
        TinyDPRBlendRetriever(store)
    with pytest.raises(ValueError, match=r"InMemoryEmbeddingRetriever has scale_score=True; .*scale_score=False"):
        TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store, scale_score=True))
    with pytest.raises(ValueError, match=r"has filters of its own.*give them to TinyDPRBlendRetriever"):
        TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store, filters=LOW_NUMBERS))
    with pytest.raises(TypeError, match="text_embedder is a InMemoryBM25Retriever; expected a TinyDPRTextEmbedder"):
        TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), InMemoryBM25Retriever(store))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="top_k is 0; expected at least 1"):
        TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), text_embedder, top_k=0)


@pytest.mark.parametrize("query", [None, 7, ["octopus"]])
def test_a_question_that_is_no_text_is_refused(retriever: TinyDPRBlendRetriever, query: Any) -> None:
    with pytest.raises(TypeError, match="TinyDPRTextEmbedder embeds a str"):
        retriever.run(query)
