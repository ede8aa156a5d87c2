"""A LangChain retriever that blends what a vector store finds with BM25 over the same documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from dpr_tiny_retriever.adapters.langchain.blended_documents import BlendedDocuments, with_id
from dpr_tiny_retriever.adapters.langchain.embeddings import TinyDPREmbeddings, below_caches
from dpr_tiny_retriever.adapters.langchain.store_scores import StoreScores
from dpr_tiny_retriever.adapters.langchain.titled_store import TitledVectorStore
from dpr_tiny_retriever.adapters.langchain.titles import check_title_key, title_of, warn_of_titles
from dpr_tiny_retriever.retrieval.blended_search import list_length
from dpr_tiny_retriever.retrieval.bm25_words import matched_words
from dpr_tiny_retriever.retrieval.fusion import Placement


class BlendedDocument(NamedTuple):
    """A document that was found, and why it stands where it does."""

    document: Document
    score: float
    """Of the blend: comparable within one search."""
    placement: Placement
    """Its rank and score among the store's hits and among BM25's."""
    words: list[str]
    """The words of the question that it holds."""


class TinyDPRBlendRetriever(BaseRetriever):
    """Ranks documents by vectors and by words together: what any vector store finds, blended with BM25.

    BM25 counts the words of title and text, in memory, over documents that are handed over once: to from_documents,
    which makes the store, or to the constructor, beside a store that holds them already. add_documents and delete
    change store and words together; where something else has changed the store, call rebuild.

    Documents have their title in metadata[title_key], and are stored and returned as they were given. TinyDPREmbeddings
    embed the title with the text: the retriever puts a TitledVectorStore over the store.

    vectorstore: any VectorStore. What its scores mean is found out by encoding some hits; see StoreScores.
    documents: what the store holds, as given to it. With ids, where you have them.
    embeddings: the store's own, where it does not tell.
    k: documents returned.
    search_kwargs: passed to the store's search, such as {"filter": ...}. A filter that is a plain mapping of metadata
        keys to values is applied to the words here; of any other the store is asked which documents it lets through.
    title_key: the metadata key of titles, of a TitledVectorStore its own; None: texts are taken as they are.
    """

    vectorstore: VectorStore
    embeddings: Embeddings
    k: int
    search_kwargs: dict[str, Any]
    blended_documents: Any
    """The BlendedDocuments."""
    store_scores: Any
    """The StoreScores."""
    has_warned: bool = False
    """Whether the warning about titles that are not embedded has been given."""

    def __init__(
        self,
        vectorstore: VectorStore,
        documents: Iterable[Document] = (),
        *,
        embeddings: Embeddings | None = None,
        k: int = 4,
        search_kwargs: Mapping[str, Any] | None = None,
        title_key: str | None = "title",
        **options: Any,
    ) -> None:
        """options are BaseRetriever's: tags, metadata."""
        embeddings = embeddings or vectorstore.embeddings
        if embeddings is None:
            raise ValueError(f"{type(vectorstore).__name__} does not tell its embeddings; pass them as embeddings=")
        check_title_key(title_key)
        own = below_caches(embeddings)
        if isinstance(vectorstore, TitledVectorStore):
            title_key = vectorstore.title_key
        elif isinstance(own, TinyDPREmbeddings):
            vectorstore = TitledVectorStore(vectorstore, title_key=title_key, embeddings=embeddings)
        fields: dict[str, Any] = {
            "vectorstore": vectorstore,
            "embeddings": own,
            "k": _checked_k(k),
            "search_kwargs": _checked_search_kwargs(search_kwargs or {}),
            "blended_documents": BlendedDocuments(title_key, getattr(own, "title_separator", None)),
            "store_scores": StoreScores(own),
        }
        super().__init__(**fields, **options)
        self.rebuild(documents)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """What pydantic shows in repr and str."""
        store = self.vectorstore.vectorstore if isinstance(self.vectorstore, TitledVectorStore) else self.vectorstore
        return [("vectorstore", type(store).__name__), ("documents", len(self.blended_documents)), ("k", self.k)]

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        embeddings: Embeddings | None = None,
        *,
        vectorstore_class: type[VectorStore] = InMemoryVectorStore,
        vectorstore_kwargs: Mapping[str, Any] | None = None,
        title_key: str | None = "title",
        **options: Any,
    ) -> TinyDPRBlendRetriever:
        """Make a store of documents, and the retriever over it.

        embeddings: None makes TinyDPREmbeddings of the bundled pair.
        vectorstore_class, vectorstore_kwargs: the class and what its from_documents takes, such as path and collection.
        options: k, search_kwargs and the others of the constructor.
        """
        embeddings = embeddings or TinyDPREmbeddings()
        check_title_key(title_key)
        given = [with_id(document) for document in _checked_documents(documents, title_key)]
        kwargs = {"ids": [document.id for document in given], **(vectorstore_kwargs or {})}
        if isinstance(below_caches(embeddings), TinyDPREmbeddings):
            kwargs |= {"vectorstore_class": vectorstore_class, "title_key": title_key}
            vectorstore_class = TitledVectorStore
        store = vectorstore_class.from_documents(given, embeddings, **kwargs)
        return cls(store, given, embeddings=embeddings, title_key=title_key, **options)

    def add_documents(self, documents: Iterable[Document], **options: Any) -> list[str]:
        """Add documents to store and words; returns their ids. options: for the store's add_documents."""
        given = [with_id(document) for document in _checked_documents(documents, self.blended_documents.title_key)]
        self._warn_where_titles_are_not_embedded(given)
        ids = [str(document.id) for document in given]
        self.vectorstore.add_documents(given, ids=ids, **options)
        self.blended_documents.add(given)
        return ids

    async def aadd_documents(self, documents: Iterable[Document], **options: Any) -> list[str]:
        """As add_documents, in a thread."""
        return await run_in_executor(None, partial(self.add_documents, documents, **options))

    def delete(self, ids: Sequence[str]) -> None:
        """Delete documents from store and words; raises ValueError, and deletes nothing, for an id unknown here."""
        if isinstance(ids, str):
            raise TypeError(f"ids is {ids!r}; expected a list of ids (a single one goes into a list of one)")
        unknown = [id for id in ids if id not in self.blended_documents]
        if unknown:
            raise ValueError(
                f"there is no document with the id {unknown[0]!r} here; expected ids that from_documents or "
                "add_documents gave: after changing the store itself call rebuild(documents)"
            )
        self.vectorstore.delete(list(ids))
        self.blended_documents.delete(ids)

    async def adelete(self, ids: Sequence[str]) -> None:
        """As delete, in a thread."""
        await run_in_executor(None, partial(self.delete, ids))

    def rebuild(self, documents: Iterable[Document]) -> None:
        """Count the words of these documents and no others: those that the store holds now."""
        given = [with_id(document) for document in _checked_documents(documents, self.blended_documents.title_key)]
        self._warn_where_titles_are_not_embedded(given)
        self.blended_documents.replace(given)

    def search(self, question: str, k: int | None = None, **search_kwargs: Any) -> list[BlendedDocument]:
        """The k best documents for a question, best first, each with the reason for its rank.

        search_kwargs: before those of the constructor. Raises TypeError unless the question is a str.
        """
        k = self.k if k is None else _checked_k(k)
        options = _checked_search_kwargs({**self.search_kwargs, **search_kwargs})
        found = self._found(question, list_length(k), options)
        by_id: dict[str, Document] = {}
        for position, (document, _) in enumerate(found):
            id = self.blended_documents.id_of(document, by_id)
            by_id[id or f"hit {position}, which is in the store alone"] = document
        passages = [self.blended_documents.passage(document) for document, _ in found]
        similarities = self.store_scores.similarities(question, passages, [score for _, score in found])
        hits = self.blended_documents.bm25.search(
            question,
            dict(zip(by_id, similarities.tolist(), strict=True)),
            k,
            cosine=self.store_scores.cosine,
            among=self._ids_let_through(question, options),
        )
        blended = []
        for hit in hits:
            document = self.blended_documents.document(hit.id, by_id.get(hit.id))
            if document is not None:
                words = matched_words(question, self.blended_documents.passage(document))
                blended.append(BlendedDocument(document, hit.score, hit.placement, words))
        return blended

    async def asearch(self, question: str, k: int | None = None, **search_kwargs: Any) -> list[BlendedDocument]:
        """As search, in a thread."""
        return await run_in_executor(None, partial(self.search, question, k, **search_kwargs))

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **search_kwargs: Any
    ) -> list[Document]:
        return [found.document for found in self.search(query, k, **search_kwargs)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        **search_kwargs: Any,
    ) -> list[Document]:
        return [found.document for found in await self.asearch(query, k, **search_kwargs)]

    def _warn_where_titles_are_not_embedded(self, documents: Sequence[Document]) -> None:
        key = self.blended_documents.title_key
        if self.has_warned or isinstance(self.embeddings, TinyDPREmbeddings) or key is None:
            return
        if any(document.metadata.get(key) for document in documents):
            self.has_warned = True
            warn_of_titles(
                f"documents have titles in metadata[{key!r}], but {type(self.embeddings).__name__} embeds texts alone",
                "use TinyDPREmbeddings, or title_key=None, which leaves titles out of the words, too",
            )

    def _found(self, question: str, k: int, options: Mapping[str, Any]) -> list[tuple[Document, float | None]]:
        """What the store finds, with its scores where it gives them."""
        try:
            return list(self.vectorstore.similarity_search_with_score(question, k=k, **options))
        except NotImplementedError:
            return [(document, None) for document in self.vectorstore.similarity_search(question, k=k, **options)]

    def _ids_let_through(self, question: str, options: Mapping[str, Any]) -> list[str] | None:
        """The documents that the store's search is limited to; None: all."""
        if not options:
            return None
        where = options.get("filter")
        is_plain = isinstance(where, Mapping) and all(isinstance(value, str | int | float) for value in where.values())
        if is_plain and options.keys() <= {"filter", "fetch_k"}:  # others may let fewer documents through
            ids: list[str] = self.blended_documents.ids_where(where)
            return ids
        let_through: dict[str, None] = {}
        for document, _ in self._found(question, max(len(self.blended_documents), 1), options):
            id = self.blended_documents.id_of(document, let_through)
            if id is not None:
                let_through[id] = None
        return list(let_through)


def _checked_documents(documents: Iterable[Document], title_key: str | None) -> list[Document]:
    """The documents as a list; raises TypeError for other kinds and titles, ValueError for an id given twice."""
    given = list(documents)
    seen = set[str]()
    for position, document in enumerate(given):
        title_of(document, position, title_key)
        if document.id in seen:
            raise ValueError(f"document {position} has the id {document.id!r} of another; expected each id once")
        if document.id:
            seen.add(document.id)
    return given


def _checked_k(k: int) -> int:
    if not isinstance(k, int) or isinstance(k, bool):
        raise TypeError(f"k is {k!r}; expected an int")
    if k < 1:
        raise ValueError(f"k is {k}; expected at least 1")
    return k


def _checked_search_kwargs(search_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if "k" in search_kwargs:
        raise ValueError(f"search_kwargs hold k={search_kwargs['k']!r}; expected k as an argument of its own")
    return dict(search_kwargs)
