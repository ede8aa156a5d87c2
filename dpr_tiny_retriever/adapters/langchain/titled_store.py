"""A LangChain vector store that embeds titles, over any other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore, VectorStoreRetriever

from dpr_tiny_retriever.adapters.langchain.announced_titles import announce
from dpr_tiny_retriever.adapters.langchain.document_batches import (
    DocumentBatch,
    as_documents,
    in_batches,
    in_given_order,
)
from dpr_tiny_retriever.adapters.langchain.embeddings import tiny_dpr_embeddings
from dpr_tiny_retriever.adapters.langchain.forwarding_store import ForwardingVectorStore, ScoredDocuments
from dpr_tiny_retriever.adapters.langchain.new_store import prepare
from dpr_tiny_retriever.adapters.langchain.stamps import MismatchReport, without_stamp
from dpr_tiny_retriever.adapters.langchain.store_scores import StoreScores
from dpr_tiny_retriever.adapters.langchain.store_similarity import store_problem
from dpr_tiny_retriever.adapters.langchain.titles import check_title_key, embedded_passage, title_of, warn_of_titles
from dpr_tiny_retriever.data.title_keys import likely_title_key
from dpr_tiny_retriever.model_stamp import OnMismatch

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
    stamp_documents: whether the store's metadata["dpr_tiny_model"] says which model made a vector. Documents that are
        found come without it, and those of another model are an error.
    on_mismatch: "error" or "warn": where documents of another model are found, or the store ranks otherwise than the
        pair does, such as InMemoryVectorStore, by cosine, for a pair that is compared by dot product.
    """

    def __init__(
        self,
        vectorstore: VectorStore,
        *,
        title_key: str | None = "title",
        embeddings: Embeddings | None = None,
        stamp_documents: bool = True,
        on_mismatch: OnMismatch = "error",
    ) -> None:
        check_title_key(title_key)
        self.vectorstore = vectorstore
        self.title_key = title_key
        self.stamp_documents = stamp_documents
        self._embeddings = embeddings or vectorstore.embeddings
        #: The embeddings below any cache.
        self.tiny_dpr_embeddings = tiny_dpr_embeddings(self._embeddings, type(vectorstore).__name__)
        self._has_warned = False
        self._mismatches = MismatchReport(on_mismatch)
        self._mismatches.report(store_problem(self.tiny_dpr_embeddings.encoder, vectorstore))
        self._scores = StoreScores(self.tiny_dpr_embeddings)

    def __repr__(self) -> str:
        store = type(self.vectorstore).__name__
        return f"TitledVectorStore({store}, title_key={self.title_key!r}, {self.tiny_dpr_embeddings!r})"

    @property
    def embeddings(self) -> Embeddings | None:
        """The embeddings of the store."""
        return self._embeddings

    @property
    def on_mismatch(self) -> OnMismatch:
        """Whether a mismatch between store and model is an error or a warning."""
        return self._mismatches.on_mismatch

    def returned(self, document: Document) -> Document:
        """Return the document without the stamp."""
        return without_stamp(document)

    def check_found(self, documents: Sequence[Document]) -> None:
        """Check the stamps of documents that a search has found; raises ModelMismatchError, or warns."""
        self._mismatches.check_stamps(documents, self.tiny_dpr_embeddings.encoder.stamp)

    @classmethod
    def from_documents(
        cls,
        documents: list[Document],
        embedding: Embeddings | None = None,
        *,
        vectorstore_class: type[VectorStore] = InMemoryVectorStore,
        title_key: str | None = "title",
        stamp_documents: bool = True,
        on_mismatch: OnMismatch = "error",
        **kwargs: Any,
    ) -> Self:
        """Make a store of documents. embedding: None makes TinyDPREmbeddings of the bundled pair.

        title_key, stamp_documents, on_mismatch: as in the constructor.
        kwargs: for from_documents of vectorstore_class, such as ids, path and collection_name.
        """
        new = prepare(
            documents,
            embedding,
            vectorstore_class,
            title_key=title_key,
            stamp_documents=stamp_documents,
            on_mismatch=on_mismatch,
            **kwargs,
        )
        first, *others = new.batches
        with announce(first.titles):
            store = new.vectorstore_class.from_documents(first.documents, new.embedding, **first.options)
        titled = cls(store, embeddings=new.embedding, **new.settings)
        titled._warn_where_titles_are_unused(documents)
        for batch in others:
            titled._add(batch)
        return titled

    @classmethod
    async def afrom_documents(
        cls, documents: list[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> Self:
        """As from_documents, with the same arguments, by the store's own afrom_documents."""
        new = prepare(documents, embedding, **kwargs)
        first, *others = new.batches
        with announce(first.titles):
            store = await new.vectorstore_class.afrom_documents(first.documents, new.embedding, **first.options)
        titled = cls(store, embeddings=new.embedding, **new.settings)
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
        batches = in_batches(documents, self.title_key, kwargs, self._stamp())
        self._warn_where_titles_are_unused(documents)
        return in_given_order(batches, [self._add(batch) for batch in batches])

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """As add_documents, by the store's own aadd_documents."""
        documents = list(documents)
        batches = in_batches(documents, self.title_key, kwargs, self._stamp())
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

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Make a retriever, as every vector store does; the bundled pair brings the score_threshold if none is given.

        With search_type="similarity_score_threshold" only documents whose relevance reaches it are returned.
        """
        options = kwargs.get("search_kwargs") or {}
        threshold = self.tiny_dpr_embeddings.score_threshold
        if kwargs.get("search_type") == "similarity_score_threshold" and threshold is not None:
            kwargs["search_kwargs"] = {"score_threshold": threshold, **options}
        return super().as_retriever(**kwargs)

    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> ScoredDocuments:
        return self._with_relevances(query, self.similarity_search_with_score(query, k, **kwargs))

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> ScoredDocuments:
        found = await self.asimilarity_search_with_score(query, k, **kwargs)
        return await run_in_executor(None, self._with_relevances, query, found)

    def _with_relevances(self, question: str, found: ScoredDocuments) -> ScoredDocuments:
        separator = self.tiny_dpr_embeddings.title_separator
        passages = [
            embedded_passage(title_of(document, position, self.title_key), document.page_content, separator)
            for position, (document, _) in enumerate(found)
        ]
        relevances = self._scores.relevances(question, passages, [score for _, score in found]).tolist()
        return [(document, relevance) for (document, _), relevance in zip(found, relevances, strict=True)]

    def _stamp(self) -> str | None:
        return str(self.tiny_dpr_embeddings.encoder.stamp) if self.stamp_documents else None

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
        key = likely_title_key((document.metadata for document in documents), title_key=self.title_key)
        if key is not None:
            self._has_warned = True
            warn_of_titles(
                f"documents have no metadata[{self.title_key!r}], but what seems a title in metadata[{key!r}]",
                f"TitledVectorStore(..., title_key={key!r}), or title_key=None if they have no titles",
            )
