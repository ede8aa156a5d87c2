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


def test_pipelines_index_and_answer_questions_asked_at_once(
    pair_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    store = store_in_memory()
    indexing = indexing_pipeline(pair_directory, store, AsyncPipeline)
    querying = in_memory_query_pipeline(pair_directory, store, AsyncPipeline)

    async def index_and_ask() -> list[list[Document]]:
        await indexing.run_async({"splitter": {"documents": documents}})
        inputs = [{"embedder": {"text": question}} for question in questions]
        results = await asyncio.gather(*(querying.run_async(given) for given in inputs))
        return [result["retriever"]["documents"] for result in results]

    found = asyncio.run(index_and_ask())
    one_by_one = in_memory_query_pipeline(pair_directory, store)
    for question, documents_found in zip(questions, found, strict=True):
        expected = answers(one_by_one, question)
        assert [document.id for document in documents_found] == [document.id for document in expected]


def test_run_async_gives_what_run_gives(
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


def test_the_event_loop_goes_on_while_a_model_is_loaded_and_documents_are_embedded(
    pair_directory: Path,
) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory)
    many = [Document(content=f"number {number} " * 100) for number in range(1000)]

    async def turns_of_the_loop() -> int:
        async def index() -> None:
            await embedder.warm_up_async()
            await embedder.run_async(many)

        work, turns = asyncio.create_task(index()), 0
        while not work.done():
            await asyncio.sleep(0.001)
            turns += 1
        await work
        return turns

    assert asyncio.run(turns_of_the_loop()) > 10
