"""Stores with another model's vectors, or with another similarity than the model's, are errors or warnings."""

import asyncio
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.core.errors import PipelineRuntimeError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_checks import (
    AsyncPipeline,
    answers,
    in_memory_query_pipeline,
    indexing_pipeline,
    query_pipeline,
    store_in_memory,
)

from dpr_tiny_retriever import STAMP_KEY, Encoder, ModelMismatchError, ModelNotFoundError
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder
from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRBlendRetriever, TinyDPRRelevanceFilter

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]


# Later versions of haystack-ai wrap what a component raises.
RAISED = (ModelMismatchError, PipelineRuntimeError)
PASSAGE_SIDE = "the model for questions is .*passage_encoder, the passage side of a pair"


def store_of(documents: list[Document], model: Path | None, **options: Any) -> InMemoryDocumentStore:
    store = store_in_memory()
    store.write_documents(TinyDPRDocumentEmbedder(model, **options).run(documents)["documents"])
    return store


def cause(error: BaseException) -> BaseException:
    """The exception that a component raised, unwrapped."""
    return error.__cause__ or error


def mismatch(pipeline: Pipeline, question: str = "who") -> str:
    with pytest.raises(RAISED) as raised:
        answers(pipeline, question)
    assert isinstance(cause(raised.value), ModelMismatchError)
    return str(cause(raised.value))


def test_an_embedded_document_says_which_model_made_it(pair_directory: Path, documents: list[Document]) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory)
    stamp = str(Encoder.from_pretrained(pair_directory, side="passage").stamp)
    embedded = embedder.run(documents)["documents"]
    assert [document.meta for document in embedded] == [{**old.meta, STAMP_KEY: stamp} for old in documents]
    assert [document.id for document in embedded] == [document.id for document in documents]
    again = TinyDPRDocumentEmbedder(pair_directory, stamp_documents=False).run(embedded)["documents"]
    assert [document.meta for document in again] == [document.meta for document in documents]


def test_documents_of_another_model_of_the_same_width_are_an_error_that_names_both(
    pair_directory: Path, documents: list[Document]
) -> None:
    message = mismatch(in_memory_query_pipeline(pair_directory, store_of(documents, None)))
    assert "bundled@" in message
    assert f"{pair_directory.name} passage" in message
    assert "another model" in message


@pytest.mark.parametrize(
    ("of_documents", "of_questions", "message"),
    [
        ("query_encoder", "", "sides are swapped"),
        ("", "passage_encoder", PASSAGE_SIDE),
        (
            "passage_encoder",
            "passage_encoder",
            "the model for questions is .*passage_encoder, the passage side of a pair",
        ),
    ],
)
def test_the_wrong_side_of_a_pair_is_an_error(
    of_documents: str, of_questions: str, message: str, pair_directory: Path, documents: list[Document]
) -> None:
    store = store_of(documents, pair_directory / of_documents)
    with pytest.raises(ModelMismatchError, match=message):
        TinyDPRTextEmbedder(pair_directory / of_questions).check_stamps(store.filter_documents())
    mismatch(in_memory_query_pipeline(pair_directory / of_questions, store))


def test_the_model_that_made_the_documents_may_stand_elsewhere_and_be_one_side_alone(
    pair_directory: Path, tmp_path: Path, documents: list[Document], caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(documents, pair_directory)
    moved = shutil.copytree(pair_directory, tmp_path / "moved")
    shutil.rmtree(moved / "passage_encoder")
    with pytest.raises(ModelNotFoundError):
        TinyDPRDocumentEmbedder(moved).warm_up()
    with caplog.at_level(logging.WARNING):
        for model in (pair_directory, pair_directory / "query_encoder", moved):
            assert answers(in_memory_query_pipeline(model, store), "who")
    assert not caplog.text


def test_documents_without_a_stamp_are_found_as_ever(pair_directory: Path, documents: list[Document]) -> None:
    assert answers(in_memory_query_pipeline(pair_directory, store_of(documents, None, stamp_documents=False)), "who")


def test_a_mismatch_may_be_a_warning_once(
    pair_directory: Path, documents: list[Document], caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = in_memory_query_pipeline(pair_directory, store_of(documents, None), on_mismatch="warn")
    with caplog.at_level(logging.WARNING):
        assert len(answers(pipeline, "who")) == len(answers(pipeline, "where")) == len(documents)
    assert caplog.text.count("another model") == 1
    with pytest.raises(ValueError, match="on_mismatch is 'ignore'; expected 'error' or 'warn'"):
        TinyDPRTextEmbedder(on_mismatch="ignore")  # type: ignore[arg-type]


def test_a_pipeline_in_an_event_loop_compares_too(pair_directory: Path, documents: list[Document]) -> None:
    pipeline = in_memory_query_pipeline(pair_directory, store_of(documents, None), AsyncPipeline)
    with pytest.raises(RAISED) as raised:
        asyncio.run(pipeline.run_async({"embedder": {"text": "who"}}))
    assert isinstance(cause(raised.value), ModelMismatchError)


def test_a_store_that_was_empty_is_compared_once_it_has_documents(
    pair_directory: Path, documents: list[Document]
) -> None:
    store = store_in_memory()
    pipeline = in_memory_query_pipeline(pair_directory, store)
    assert answers(pipeline, "who") == []
    store.write_documents(TinyDPRDocumentEmbedder().run(documents)["documents"])
    assert "another model" in mismatch(pipeline)


def test_the_blend_and_the_filter_compare_whatever_they_are_given(
    pair_directory: Path, documents: list[Document]
) -> None:
    store, embedder = store_of(documents, None), TinyDPRTextEmbedder(pair_directory)
    with pytest.raises(ModelMismatchError, match="another model"):
        TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), embedder).run("who")
    found = [replace(document, score=0.5) for document in store.filter_documents()]
    with pytest.raises(ModelMismatchError, match="another model"):
        TinyDPRRelevanceFilter(text_embedder=embedder).run(found, embedder.run("who")["embedding"])


def by_cosine() -> InMemoryDocumentStore:
    return InMemoryDocumentStore(embedding_similarity_function="cosine")


def test_a_store_that_ranks_otherwise_than_the_model_is_an_error_before_anything_is_written(
    pair_directory: Path, documents: list[Document]
) -> None:
    store = by_cosine()
    with pytest.raises(RAISED) as raised:
        indexing_pipeline(pair_directory, store).run({"splitter": {"documents": documents}})
    message = str(cause(raised.value))
    assert isinstance(cause(raised.value), ModelMismatchError)
    assert "embedding_similarity_function='cosine') ranks by cosine, the model by dot product" in message
    for remedy in ("a store that ranks by dot product", "normalize_embeddings=True", "exact_dot=True"):
        assert remedy in message
    assert store.count_documents() == 0
    assert "ranks by cosine" in mismatch(in_memory_query_pipeline(pair_directory, store))
    blend = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store), TinyDPRTextEmbedder(pair_directory))
    with pytest.raises(ModelMismatchError, match="ranks by cosine"):
        blend.run("who")


@pytest.mark.parametrize("remedy", [{"exact_dot": True}, {"normalize_embeddings": True}])
def test_each_remedy_ranks_as_the_model_does(
    remedy: dict[str, Any], pair_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    exact, store = store_in_memory(), by_cosine()
    scaled = remedy if "normalize_embeddings" in remedy else {}
    indexing_pipeline(pair_directory, exact, **scaled).run({"splitter": {"documents": documents}})
    indexing_pipeline(pair_directory, store, **remedy).run({"splitter": {"documents": documents}})
    expected = in_memory_query_pipeline(pair_directory, exact, **scaled)
    actual = in_memory_query_pipeline(pair_directory, store, **remedy)
    for question in questions:
        titles = [document.meta["title"] for document in answers(actual, question)]
        assert titles == [document.meta["title"] for document in answers(expected, question)]
    stored = store.filter_documents()[0]
    assert len(stored.embedding or ()) == (129 if "exact_dot" in remedy else 128)


def test_exact_dot_on_one_side_alone_is_an_error(pair_directory: Path, documents: list[Document]) -> None:
    store = store_of(documents, pair_directory, exact_dot=True)
    with pytest.raises(ModelMismatchError, match="exact_dot differs"):
        TinyDPRTextEmbedder(pair_directory).check_stamps(store.filter_documents())
    with pytest.raises(ValueError, match="unit length"):
        TinyDPRDocumentEmbedder(exact_dot=True).warm_up()


class WideStore(InMemoryDocumentStore):
    """A store with a fixed embedding dimension, as databases have."""

    embedding_dim = 768


def test_a_store_of_another_width_is_an_error_before_anything_is_encoded(
    pair_directory: Path, documents: list[Document]
) -> None:
    with pytest.raises(RAISED, match="embedding_dim=768, the model's vectors have 128 floats"):
        indexing_pipeline(pair_directory, WideStore()).run({"splitter": {"documents": documents}})


def test_scores_that_a_retriever_squeezes_are_warned_of(
    documents: list[Document], caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(documents, None)
    pipeline = query_pipeline(None, InMemoryEmbeddingRetriever(store, scale_score=True))
    with caplog.at_level(logging.WARNING):
        scores = [document.score for document in answers(pipeline, "Who discovered the first antibiotic?")]
    assert max(scores) - min(scores) < 0.003
    assert caplog.text.count("has scale_score=True") == 1
