"""What these tests share: a pipeline that indexes, one that queries, and the comparison of vectors."""

from pathlib import Path
from typing import Any

import haystack
import numpy as np
from haystack import Document, Pipeline
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

# In haystack-ai 2 pipelines in an event loop have a separate class.
AsyncPipeline: type[Pipeline] = getattr(haystack, "AsyncPipeline", Pipeline)


def store_in_memory() -> InMemoryDocumentStore:
    return InMemoryDocumentStore(embedding_similarity_function="dot_product")


def indexing_pipeline(model: Path, store: Any, kind: type[Pipeline] = Pipeline, **options: Any) -> Pipeline:
    pipeline = kind()
    pipeline.add_component("splitter", DocumentSplitter(split_by="word", split_length=100))
    pipeline.add_component("embedder", TinyDPRDocumentEmbedder(model, **options))
    pipeline.add_component("writer", DocumentWriter(store))
    pipeline.connect("splitter", "embedder")
    pipeline.connect("embedder", "writer")
    return pipeline


def query_pipeline(model: Path, retriever: Any, kind: type[Pipeline] = Pipeline, **options: Any) -> Pipeline:
    pipeline = kind()
    pipeline.add_component("embedder", TinyDPRTextEmbedder(model, **options))
    pipeline.add_component("retriever", retriever)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    return pipeline


def in_memory_query_pipeline(
    model: Path, store: InMemoryDocumentStore, kind: type[Pipeline] = Pipeline, **options: Any
) -> Pipeline:
    return query_pipeline(model, InMemoryEmbeddingRetriever(store), kind, **options)


def answers(pipeline: Pipeline, question: str) -> list[Document]:
    documents: list[Document] = pipeline.run({"embedder": {"text": question}})["retriever"]["documents"]
    return documents


def vectors(embedder: TinyDPRDocumentEmbedder, *documents: Document) -> np.ndarray:
    return np.array([document.embedding for document in embedder.run(list(documents))["documents"]])


def assert_same(actual: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=1e-5)
