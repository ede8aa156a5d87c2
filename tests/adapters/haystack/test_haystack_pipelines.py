"""Indexing and query pipelines with the in-memory document store."""

from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack_checks import answers, assert_same, in_memory_query_pipeline, indexing_pipeline, store_in_memory

from dpr_tiny_retriever import DualEncoder
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder

pytestmark = pytest.mark.haystack


def test_the_passage_that_answers_a_question_comes_first(
    minilm_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    store = store_in_memory()
    written = indexing_pipeline(minilm_directory, store).run({"splitter": {"documents": documents}})
    assert written == {"writer": {"documents_written": len(documents)}}
    querying = in_memory_query_pipeline(minilm_directory, store)
    assert {question: answers(querying, question)[0].meta["title"] for question in questions} == questions


def test_every_part_of_a_split_document_has_its_title(pair_directory: Path, core: DualEncoder) -> None:
    store = store_in_memory()
    long = Document(content=" ".join(f"word{number}" for number in range(250)), meta={"title": "Numbers"})
    indexing_pipeline(pair_directory, store).run({"splitter": {"documents": [long]}})
    parts = sorted(store.filter_documents(), key=lambda part: part.meta["split_id"])
    assert len(parts) == 3
    expected = core.encode_passages([("Numbers", part.content or "") for part in parts])
    assert_same([part.embedding for part in parts], expected)


def test_scores_are_dot_products_of_query_and_passage(
    pair_directory: Path, core: DualEncoder, documents: list[Document], titled: list[tuple[str, str]]
) -> None:
    store = store_in_memory()
    indexing_pipeline(pair_directory, store).run({"splitter": {"documents": documents}})
    question = "How many hearts does an octopus have?"
    scores = core.encode_passages(titled) @ core.encode_queries([question])[0]
    ranking = answers(in_memory_query_pipeline(pair_directory, store), question)
    assert [document.meta["number"] for document in ranking] == (-scores).argsort().tolist()
    assert [document.score for document in ranking] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-4)


def test_a_title_finds_a_passage_that_does_not_name_its_subject(minilm_directory: Path) -> None:
    questions = {
        "Tell me about Canada": "Canada",
        "Which company is Nintendo?": "Nintendo",
        "What is known of Oslo?": "Oslo",
        "Who was Brahms?": "Brahms",
    }
    text = "It all began in the nineteenth century."
    documents = [Document(content=text, meta={"title": title}) for title in questions.values()]
    store = store_in_memory()
    indexing_pipeline(minilm_directory, store).run({"splitter": {"documents": documents}})
    querying = in_memory_query_pipeline(minilm_directory, store)
    assert {question: answers(querying, question)[0].meta["title"] for question in questions} == questions


def test_an_indexing_pipeline_without_documents_writes_none(pair_directory: Path) -> None:
    result = indexing_pipeline(pair_directory, store_in_memory()).run({"splitter": {"documents": []}})
    assert result == {"writer": {"documents_written": 0}}


def test_a_pipeline_shows_the_message_of_an_error(pair_directory: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", TinyDPRDocumentEmbedder(pair_directory))
    # Early versions raise the error itself, later ones wrap it in an error of the pipeline.
    with pytest.raises(Exception, match="document empty has no text"):
        pipeline.run({"embedder": {"documents": [Document(id="empty")]}})
