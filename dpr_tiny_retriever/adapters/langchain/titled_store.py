"""A LangChain vector store that embeds titles, over any other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from dpr_tiny_retriever.adapters.langchain.announced_titles import announce
from dpr_tiny_retriever.adapters.langchain.document_batches import (
    DocumentBatch,
    as_documents,
    in_batches,
    in_given_order,
    with_ids,
)
from dpr_tiny_retriever.adapters.langchain.embeddings import TinyDPREmbeddings, below_caches
from dpr_tiny_retriever.adapters.langchain.forwarding_store import ForwardingVectorStore
from dpr_tiny_retriever.adapters.langchain.titles import check_title_key, likely_title_key, warn_of_titles

if TYPE_CHECKING:
    from typing_extensions import Self


class TitledVectorStore(ForwardingVectorStore):
    """A vector store over any other, which embeds each document's title together with its text.

    The title is `metadata[title_key]`, where loaders put it. Documents are stored and returned as they are. A document
    without title is embedded as its text alone. Split long documents first: each chunk has its document's metadata.

        store = TitledVectorStore.from_documents(documents, TinyDPREmbeddings())  # in memory
        store = TitledVectorStore(QdrantVectorStore(client, "passages", TinyDPREmbeddings()))  # over any store
        store.add_documents(documents)

    It goes wherever LangChain takes a vector store: `as_retriever`, `langchain_core.indexing.index` (a document whose
    title has changed is embedded again), ParentDocumentRetriever, tools for agents. What only that store has is reached
    by `vectorstore`; documents that are added there directly are embedded without titles.

    vectorstore: any that has its texts embedded, as they are, by `embed_documents` of its TinyDPREmbeddings. Where it
        does not, adding documents with titles raises ValueError, and those just added are deleted again.
    title_key: the metadata key of titles; None: no titles.
    embeddings: the store's own, where it does not tell them.
    """

    def __init__(
        self, vectorstore: VectorStore, *, title_key: str | None = "title", embeddings: Embeddings | None = None
    ) -> None:
        check_title_key(title_key)
        self.vectorstore = vectorstore
        self.title_key = title_key
        self._embeddings = embeddings or vectorstore.embeddings
        #: The embeddings themselves, where a cache stands before them.
        self.tiny_dpr_embeddings = _tiny_dpr_embeddings(self._embeddings, type(vectorstore).__name__)
        self._has_warned = False

    def __repr__(self) -> str:
        store = type(self.vectorstore).__name__
        return f"TitledVectorStore({store}, title_key={self.title_key!r}, {self.tiny_dpr_embeddings!r})"

    @property
    def embeddings(self) -> Embeddings | None:
        """What the store embeds by."""
        return self._embeddings

    @classmethod
    def from_documents(
        cls,
        documents: list[Document],
        embedding: Embeddings | None = None,
        *,
        vectorstore_class: type[VectorStore] = InMemoryVectorStore,
        title_key: str | None = "title",
        **kwargs: Any,
    ) -> Self:
        """Make a store of documents. embedding: None makes TinyDPREmbeddings of the bundled pair.

        kwargs: for from_documents of vectorstore_class, such as ids, path and collection_name.
        """
        embedding = embedding or TinyDPREmbeddings()
        _tiny_dpr_embeddings(embedding, vectorstore_class.__name__)
        first, *others = in_batches(documents, title_key, with_ids(documents, kwargs))
        with announce(first.titles):
            store = vectorstore_class.from_documents(first.documents, embedding, **first.options)
        titled = cls(store, title_key=title_key, embeddings=embedding)
        titled._warn_where_titles_are_unused(documents)
        for batch in others:
            titled._add(batch)
        return titled

    @classmethod
    async def afrom_documents(
        cls,
        documents: list[Document],
        embedding: Embeddings | None = None,
        *,
        vectorstore_class: type[VectorStore] = InMemoryVectorStore,
        title_key: str | None = "title",
        **kwargs: Any,
    ) -> Self:
        """As from_documents, by the store's own afrom_documents."""
        embedding = embedding or TinyDPREmbeddings()
        _tiny_dpr_embeddings(embedding, vectorstore_class.__name__)
        first, *others = in_batches(documents, title_key, with_ids(documents, kwargs))
        with announce(first.titles):
            store = await vectorstore_class.afrom_documents(first.documents, embedding, **first.options)
        titled = cls(store, title_key=title_key, embeddings=embedding)
        titled._warn_where_titles_are_unused(documents)
        for batch in others:
            await titled._aadd(batch)
        return titled

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As from_documents, of texts and their metadata."""
        return cls.from_documents(as_documents(texts, metadatas), embedding, **kwargs)

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As from_texts, by the store's own afrom_documents."""
        return await cls.afrom_documents(as_documents(texts, metadatas), embedding, **kwargs)

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, replace those whose ids are known, and return the ids.

        kwargs: for the store's add_documents, such as ids.
        Raises TypeError for a title that is not a str, before anything is added.
        """
        documents = list(documents)
        batches = in_batches(documents, self.title_key, kwargs)
        self._warn_where_titles_are_unused(documents)
        return in_given_order(batches, [self._add(batch) for batch in batches])

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """As add_documents, by the store's own aadd_documents."""
        documents = list(documents)
        batches = in_batches(documents, self.title_key, kwargs)
        self._warn_where_titles_are_unused(documents)
        return in_given_order(batches, [await self._aadd(batch) for batch in batches])

    def add_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """As add_documents, of texts and their metadata."""
        return self.add_documents(as_documents(texts, metadatas), **kwargs)

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """As add_texts."""
        return await self.aadd_documents(as_documents(texts, metadatas), **kwargs)

    def _add(self, batch: DocumentBatch) -> list[str]:
        added: list[str] = []
        try:
            with announce(batch.titles):
                added = list(self.vectorstore.add_documents(batch.documents, **batch.options))
        except ValueError:
            if added:  # they were embedded without their titles
                with suppress(NotImplementedError):
                    self.vectorstore.delete(added)
            raise
        return added

    async def _aadd(self, batch: DocumentBatch) -> list[str]:
        added: list[str] = []
        try:
            with announce(batch.titles):
                added = list(await self.vectorstore.aadd_documents(batch.documents, **batch.options))
        except ValueError:
            if added:
                with suppress(NotImplementedError):
                    await self.vectorstore.adelete(added)
            raise
        return added

    def _warn_where_titles_are_unused(self, documents: Sequence[Document]) -> None:
        if self._has_warned or self.title_key is None:
            return
        key = likely_title_key((document.metadata for document in documents), unless=self.title_key)
        if key is not None:
            self._has_warned = True
            warn_of_titles(
                f"documents have no metadata[{self.title_key!r}], but what seems a title in metadata[{key!r}]",
                f"TitledVectorStore(..., title_key={key!r}), or title_key=None if they have no titles",
            )


def _tiny_dpr_embeddings(embeddings: Embeddings | None, store: str) -> TinyDPREmbeddings:
    if embeddings is None:
        raise ValueError(f"{store} does not tell its embeddings; pass them as embeddings=")
    found = below_caches(embeddings)
    if not isinstance(found, TinyDPREmbeddings):
        raise TypeError(
            f"{store} embeds by {type(found).__name__}; expected TinyDPREmbeddings, which can be told the titles"
        )
    return found
