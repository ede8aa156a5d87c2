"""Retrieval through farm-haystack's FAISS store, and by the same store and our encoder called directly."""

from __future__ import annotations

from haystack import Document
from haystack.document_stores import FAISSDocumentStore
from workers.inputs import in_both_ways, read_texts

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

#: Passages that a search returns.
TOP = 10


class Worker:
    """One pair at a time."""

    def __init__(self, cores: int) -> None:
        self.name = "farm-haystack, FAISS"

    def load(self, source: str, saved: str, texts: str) -> list[str]:
        """Index all passages; returns what can be searched."""
        passages, self.questions = read_texts(texts)
        self.pair = DualEncoder.from_pretrained(source)
        self.store = FAISSDocumentStore(sql_url="sqlite://", embedding_dim=128)
        self.store.write_documents([Document(content=text, meta={"name": title}) for title, text in passages])
        self.retriever = TinyDPRRetriever(self.store, source, top_k=TOP, progress_bar=False)
        self.store.update_embeddings(self.retriever)
        self.retrieve(self.name, 0, 10)
        return [self.name]

    def retrieve(self, name: str, first: int, last: int) -> list[float]:
        """Return the seconds of these questions through the adapter and directly, in turn."""
        return in_both_ways((self.retriever.retrieve, self._direct), self.questions[first:last])

    def _direct(self, question: str) -> object:
        return self.store.query_by_embedding(self.pair.encode_queries([question])[0], top_k=TOP)
