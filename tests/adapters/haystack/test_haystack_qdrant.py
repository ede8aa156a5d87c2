"""Indexing and query pipelines with Qdrant in a folder."""

from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack_checks import (
    answers,
    in_memory_query_pipeline,
    indexing_pipeline,
    query_pipeline,
    store_in_memory,
)
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder
from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRBlendRetriever
from haystack_integrations.components.writers.dpr_tiny import TinyDPRDocumentWriter

pytestmark = pytest.mark.haystack


def qdrant(folder: Path, embedding_dim: int) -> QdrantDocumentStore:
    return QdrantDocumentStore(
        path=str(folder), embedding_dim=embedding_dim, similarity="dot_product", progress_bar=False
    )


def test_an_index_is_read_again_from_disk(
    tmp_path: Path, minilm_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    embedding_dim = TinyDPRDocumentEmbedder(minilm_directory).embedding_dim
    store = qdrant(tmp_path, embedding_dim)
    indexing_pipeline(minilm_directory, store).run({"splitter": {"documents": documents}})
    store.close()

    reopened = qdrant(tmp_path, embedding_dim)
    assert reopened.count_documents() == len(documents)
    querying = query_pipeline(minilm_directory, QdrantEmbeddingRetriever(reopened))
    assert {question: answers(querying, question)[0].meta["title"] for question in questions} == questions
    reopened.close()


def test_ranks_and_scores_are_those_of_the_store_in_memory(
    tmp_path: Path, pair_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    in_memory, on_disk = store_in_memory(), qdrant(tmp_path, 128)
    for store in (in_memory, on_disk):
        indexing_pipeline(pair_directory, store).run({"splitter": {"documents": documents}})
    first = in_memory_query_pipeline(pair_directory, in_memory)
    second = query_pipeline(pair_directory, QdrantEmbeddingRetriever(on_disk))
    for question in questions:
        expected, actual = answers(first, question), answers(second, question)
        assert [document.meta["number"] for document in actual] == [document.meta["number"] for document in expected]
        assert [document.score for document in actual] == pytest.approx(
            [document.score for document in expected], abs=1e-4
        )
    on_disk.close()


def test_the_blend_is_that_of_the_store_in_memory_and_is_read_again_from_disk(
    tmp_path: Path, pair_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    in_memory, on_disk = store_in_memory(), qdrant(tmp_path / "vectors", 128)
    for store in (in_memory, on_disk):
        indexing_pipeline(pair_directory, store).run({"splitter": {"documents": documents}})
    embedder = TinyDPRTextEmbedder(pair_directory)
    expected = TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(in_memory), embedder)
    words = str(tmp_path / "words.sqlite")
    retriever = TinyDPRBlendRetriever(QdrantEmbeddingRetriever(on_disk), embedder, bm25_path=words)
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    two_titles = {"field": "meta.title", "operator": "in", "value": ["Octopus", "Espresso"]}
    for opened in (pipeline, Pipeline.loads(pipeline.dumps())):
        for question in questions:
            for filters in (None, two_titles):
                actual = opened.run({"retriever": {"query": question, "filters": filters}})["retriever"]["documents"]
                same = expected.run(question, filters)["documents"]
                assert [document.meta["title"] for document in actual] == [document.meta["title"] for document in same]
                assert [d.score for d in actual] == pytest.approx([d.score for d in same], abs=1e-4)
        opened.get_component("retriever").close()  # a folder is open in one place at a time


def articles(texts: list[str]) -> list[Document]:
    return [Document(content=text, meta={"title": text.split()[0], "file": text.split()[0]}) for text in texts]


def test_a_pipeline_from_yaml_writes_what_has_changed_and_deletes_what_is_gone_on_disk(tmp_path: Path) -> None:
    store = QdrantDocumentStore(path=str(tmp_path), embedding_dim=128, similarity="cosine", progress_bar=False)
    indexing = Pipeline()
    indexing.add_component("splitter", DocumentSplitter(split_by="passage", split_length=1, split_overlap=0))
    indexing.add_component("writer", TinyDPRDocumentWriter(store, source_meta_field="file", delete_missing=True))
    indexing.connect("splitter", "writer")
    texts = ["River one\n\nIt is wide.\n\nIt is long.", "Tower one\n\nIt is old."]
    for change, written, unchanged, deleted in [
        (texts, 5, 0, 0),
        (texts, 0, 5, 0),
        (["River one\n\nIt is wide.", texts[1]], 2, 2, 3),  # a passage's meta names the text that it was split from
        ([texts[1]], 0, 2, 0),
    ]:
        pipeline = Pipeline.loads(indexing.dumps())
        assert pipeline.run({"splitter": {"documents": articles(change)}})["writer"] == {
            "documents_written": written,
            "documents_unchanged": unchanged,
            "documents_deleted": deleted,
        }
        pipeline.get_component("writer").close()  # a folder is open in one place at a time
    contents = sorted(str(document.content) for document in store.filter_documents())
    assert contents == ["It is old.", "It is wide.", "River one\n\n", "Tower one\n\n"]
    store.close()
