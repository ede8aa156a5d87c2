"""A LangChain vector store that forwards searches to another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

ScoredDocuments = list[tuple[Document, float]]


class ForwardingVectorStore(VectorStore):
    """Forwards searches, gets and deletions, with their arguments, to another store.

    Subclasses change returned documents in `returned`, and check search results in `check_found` before that.
    """

    vectorstore: VectorStore
    """The store itself."""

    def returned(self, document: Document) -> Document:
        """Return the document to give to the caller for one of the store."""
        return document

    def check_found(self, documents: Sequence[Document]) -> None:
        """Raise an error if search results must not be returned."""

    def _all_returned(self, documents: Iterable[Document]) -> list[Document]:
        return [self.returned(document) for document in documents]

    def _all_found(self, documents: Sequence[Document]) -> list[Document]:
        self.check_found(documents)
        return self._all_returned(documents)

    def _all_scored(self, scored: Sequence[tuple[Document, float]]) -> ScoredDocuments:
        documents = self._all_found([document for document, _ in scored])
        return list(zip(documents, (score for _, score in scored), strict=True))

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k documents nearest to a question, best first."""
        return self._all_found(self.vectorstore.similarity_search(query, k=k, **kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """As similarity_search."""
        return self._all_found(await self.vectorstore.asimilarity_search(query, k=k, **kwargs))

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> ScoredDocuments:
        """As similarity_search, with what the store calls a score: a similarity, or a distance."""
        return self._all_scored(self.vectorstore.similarity_search_with_score(query, k=k, **kwargs))

    async def asimilarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> ScoredDocuments:
        """As similarity_search_with_score."""
        return self._all_scored(await self.vectorstore.asimilarity_search_with_score(query, k=k, **kwargs))

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """The k documents nearest to a question's vector."""
        return self._all_found(self.vectorstore.similarity_search_by_vector(embedding, k=k, **kwargs))

    async def asimilarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """As similarity_search_by_vector."""
        return self._all_found(await self.vectorstore.asimilarity_search_by_vector(embedding, k=k, **kwargs))

    def max_marginal_relevance_search(self, query: str, *args: Any, **kwargs: Any) -> list[Document]:
        """The documents that are near to a question and far from each other."""
        return self._all_found(self.vectorstore.max_marginal_relevance_search(query, *args, **kwargs))

    async def amax_marginal_relevance_search(self, query: str, *args: Any, **kwargs: Any) -> list[Document]:
        """As max_marginal_relevance_search."""
        return self._all_found(await self.vectorstore.amax_marginal_relevance_search(query, *args, **kwargs))

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], *args: Any, **kwargs: Any
    ) -> list[Document]:
        """As max_marginal_relevance_search, for a question's vector."""
        return self._all_found(self.vectorstore.max_marginal_relevance_search_by_vector(embedding, *args, **kwargs))

    async def amax_marginal_relevance_search_by_vector(
        self, embedding: list[float], *args: Any, **kwargs: Any
    ) -> list[Document]:
        """As max_marginal_relevance_search_by_vector."""
        return self._all_found(
            await self.vectorstore.amax_marginal_relevance_search_by_vector(embedding, *args, **kwargs)
        )

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids, as far as there are any."""
        return self._all_returned(self.vectorstore.get_by_ids(ids))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As get_by_ids."""
        return self._all_returned(await self.vectorstore.aget_by_ids(ids))

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete documents by their ids."""
        return self.vectorstore.delete(ids, **kwargs)

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """As delete."""
        return await self.vectorstore.adelete(ids, **kwargs)
