"""Retrieval through haystack-ai and LangChain, and by the same stores and our encoder called directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
from langchain_core.documents import Document as LangChainDocument
from workers.inputs import in_both_ways, read_texts

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

#: Passages that a search returns.
TOP = 10
#: Retrieval by the adapter, and by encoder and store called directly.
Ways = tuple[Callable[[str], object], Callable[[str], object]]


class Worker:
    """One pair at a time, in each framework and store."""

    def __init__(self, cores: int) -> None:
        self.ways: dict[str, Ways] = {}

    def load(self, source: str, saved: str, texts: str) -> list[str]:
        """Index all passages in each store; returns what can be searched."""
        passages, self.questions = read_texts(texts)
        passages = list(dict.fromkeys(passages))  # a store takes no document twice
        self.pair = DualEncoder.from_pretrained(source)
        self.ways = {**dict(self._haystack(passages, source)), **dict(self._langchain(passages, source))}
        for name in self.ways:
            self.retrieve(name, 0, 10)
        return list(self.ways)

    def retrieve(self, name: str, first: int, last: int) -> list[float]:
        """Return the seconds of these questions through the adapter and directly, in turn."""
        return in_both_ways(self.ways[name], self.questions[first:last])

    def _haystack(self, passages: list[tuple[str, str]], source: str) -> Iterator[tuple[str, Ways]]:
        """Two stores of haystack-ai, each with the components called one by one and in a Pipeline."""
        documents = [Document(content=text, meta={"title": title}) for title, text in passages]
        documents = TinyDPRDocumentEmbedder(source, progress_bar=False).run(documents)["documents"]
        in_memory = InMemoryDocumentStore(embedding_similarity_function="dot_product")
        qdrant = QdrantDocumentStore(
            ":memory:", embedding_dim=128, similarity="dot_product", progress_bar=False, wait_result_from_api=True
        )
        for name, store, retriever in (
            ("in memory", in_memory, InMemoryEmbeddingRetriever),
            ("Qdrant", qdrant, QdrantEmbeddingRetriever),
        ):
            store.write_documents(documents)
            embedder = TinyDPRTextEmbedder(source)
            embedder.warm_up()
            search = retriever(store, top_k=TOP)
            direct = partial(self._direct, lambda vector, search=search: search.run(query_embedding=vector))
            yield f"haystack-ai, {name}", (partial(_by_components, embedder, search), direct)
            pipeline = _pipeline(TinyDPRTextEmbedder(source), retriever(store, top_k=TOP))
            yield f"haystack-ai, {name}, Pipeline", (partial(_by_pipeline, pipeline), direct)

    def _langchain(self, passages: list[tuple[str, str]], source: str) -> Iterator[tuple[str, Ways]]:
        documents = [LangChainDocument(page_content=text, metadata={"title": title}) for title, text in passages]
        embeddings = TinyDPREmbeddings(source, show_progress=False)
        store = TitledVectorStore.from_documents(documents, embeddings)
        direct = partial(self._direct, partial(store.similarity_search_by_vector, k=TOP))
        yield "LangChain, in memory", (partial(store.similarity_search, k=TOP), direct)

    def _direct(self, search: Callable[[list[float]], object], question: str) -> object:
        return search(self.pair.encode_queries([question])[0].tolist())


def _by_components(embedder: TinyDPRTextEmbedder, retriever: Any, question: str) -> object:
    return retriever.run(query_embedding=embedder.run(question)["embedding"])


def _by_pipeline(pipeline: Pipeline, question: str) -> object:
    return pipeline.run({"embedder": {"text": question}})


def _pipeline(embedder: TinyDPRTextEmbedder, retriever: Any) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("retriever", retriever)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    return pipeline
