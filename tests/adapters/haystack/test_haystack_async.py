"""The embedders in async pipelines."""

import asyncio
from pathlib import Path

import pytest
from haystack import Document
from haystack_checks import (
    AsyncPipeline,
    answers,
    assert_same,
    in_memory_query_pipeline,
    indexing_pipeline,
    store_in_memory,
    vectors,
)

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = pytest.mark.haystack


def test_pipelines_index_and_answer_concurrent_questions(
    pair_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    store = store_in_memory()
    indexing = indexing_pipeline(pair_directory, store, AsyncPipeline)
    querying = in_memory_query_pipeline(pair_directory, store, AsyncPipeline)

    async def index_and_ask() -> list[list[Document]]:
        await indexing.run_async({"splitter": {"documents": documents}})
        inputs = [{"embedder": {"text": question}} for question in questions]
        results = await asyncio.gather(*(querying.run_async(data) for data in inputs))
        return [result["retriever"]["documents"] for result in results]

    concurrent = asyncio.run(index_and_ask())
    sequential = in_memory_query_pipeline(pair_directory, store)
    for question, ranking in zip(questions, concurrent, strict=True):
        expected = answers(sequential, question)
        assert [document.id for document in ranking] == [document.id for document in expected]


def test_run_async_returns_what_run_returns(
    text_embedder: TinyDPRTextEmbedder, document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]
) -> None:
    assert_same(asyncio.run(text_embedder.run_async("who"))["embedding"], text_embedder.run("who")["embedding"])
    embedded = asyncio.run(document_embedder.run_async(documents))["documents"]
    assert [document.id for document in embedded] == [document.id for document in documents]
    assert_same([document.embedding for document in embedded], vectors(document_embedder, *documents))


def test_run_async_refuses_what_run_refuses(
    text_embedder: TinyDPRTextEmbedder, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    with pytest.raises(TypeError, match="use TinyDPRDocumentEmbedder"):
        asyncio.run(text_embedder.run_async(["who"]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no text"):
        asyncio.run(document_embedder.run_async([Document(id="empty")]))


def test_the_event_loop_runs_while_a_model_is_loaded_and_documents_are_embedded(
    pair_directory: Path,
) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory)
    many = [Document(content=f"number {number} " * 100) for number in range(1000)]

    async def iterations_of_the_loop() -> int:
        async def index() -> None:
            await embedder.warm_up_async()
            await embedder.run_async(many)

        work, iterations = asyncio.create_task(index()), 0
        while not work.done():
            await asyncio.sleep(0.001)
            iterations += 1
        await work
        return iterations

    assert asyncio.run(iterations_of_the_loop()) > 10
