"""The haystack-ai component that finds documents by vectors and words together, over any document store."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.serialization import component_from_dict, component_to_dict, import_class_by_name

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.retrieval.blended_search import BlendedHit, list_length
from dpr_tiny_retriever.retrieval.bm25_mirror import BM25Mirror
from dpr_tiny_retriever.retrieval.bm25_words import matched_words
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRTextEmbedder
from haystack_integrations.components.embedders.dpr_tiny.embedder import described
from haystack_integrations.components.joiners.dpr_tiny.blend_joiner import check_count, explanation
from haystack_integrations.components.retrievers.dpr_tiny.parts import check_retriever, documents_by_id, store_of
from haystack_integrations.components.retrievers.dpr_tiny.similarities import are_cosines, similarities


@described
@component
@dataclass(eq=False, repr=False)
class TinyDPRBlendRetriever:
    """Answers a question with the documents of a store, ranked by vectors and BM25 together.

    TinyDPRBlendRetriever(InMemoryEmbeddingRetriever(store)) is all it takes where the documents were embedded by
    TinyDPRDocumentEmbedder(). The store needs no keyword search of its own: BM25 counts the words of title and content
    of what store.filter_documents() returns. It follows the store: a count that has changed, or a hit that is new or
    has another text, makes it read the store again; so does synchronize().

    retriever: the store's embedding retriever. It asks for 100 documents, whatever its own top_k is. With
        return_embedding=True similarities are computed from the vectors that it returns. Otherwise its scores are
        taken, which must be cosines or dot products, and not scaled.
    text_embedder: encodes questions; None: the bundled pair's.
    top_k: documents returned.
    filters: for vectors and words alike, unless a run has others.
    title_meta_field: the meta field that holds a document's title; None: titles are not counted.
    bm25_path: a file that keeps the words, for later processes; None: they are in memory, some 500 bytes a document.
    """

    retriever: Any
    text_embedder: TinyDPRTextEmbedder | None = None
    _: KW_ONLY
    top_k: int = 10
    filters: dict[str, Any] | None = None
    title_meta_field: str | None = "title"
    bm25_path: str | None = None

    def __post_init__(self) -> None:
        check_count("top_k", self.top_k)
        check_retriever(self.retriever)
        if self.text_embedder is None:
            self.text_embedder = TinyDPRTextEmbedder()
        if not isinstance(self.text_embedder, TinyDPRTextEmbedder):
            raise TypeError(
                f"text_embedder is a {type(self.text_embedder).__name__}; expected a TinyDPRTextEmbedder: with another "
                "embedder connect an embedding and a BM25 retriever to a TinyDPRBlendJoiner"
            )
        self._embedder = self.text_embedder
        self._bm25: BM25Mirror | None = None

    def describe(self) -> str:
        """Return the repr: retriever, model and top_k."""
        return f"TinyDPRBlendRetriever({type(self.retriever).__name__}, {self._embedder!r}, top_k={self.top_k})"

    @component.output_types(documents=list[Document], explanations=list[dict[str, Any]])
    def run(self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None) -> dict[str, Any]:
        """Find documents: {"documents": the best, each with its blended score, "explanations": one dict for each}.

        An explanation is that of TinyDPRBlendJoiner and, under "words", the words of the question that the document
        holds. Among equal scores the document that the store lists first comes first. Raises TypeError unless the query
        is a str, ValueError for scores that cannot be blended, and ModelMismatchError, or warns, as the text embedder's
        on_mismatch says, for a store that ranks otherwise than the model or holds documents of another one.
        """
        top_k = self.top_k if top_k is None else check_count("top_k", top_k)
        filters = self.filters if filters is None else filters
        self._embedder.check_store(store_of(self.retriever), self.retriever)
        embedding = self._embedder.run(query)["embedding"]
        found = self.retriever.run(query_embedding=embedding, filters=filters, top_k=list_length(top_k))["documents"]
        self._embedder.check_stamps(found)
        self._follow_store(found)
        dense = similarities(self._embedder.encoder, embedding, found)
        blended = self._blend(query, dense, top_k, filters, found)
        if any(document is None for _, document in blended):  # it is gone, or the store does not find documents by id
            blended = self._blend(query, dense, top_k, filters, [*self.synchronize(), *found])
        returns_vectors = any(document.embedding is not None for document in found)
        documents, explanations = [], []
        for hit, document in blended:
            if document is not None:
                vector = document.embedding if returns_vectors else None
                documents.append(replace(document, score=hit.score, embedding=vector))
                explanations.append({**explanation(hit), "words": matched_words(query, self._passage(document))})
        return {"documents": documents, "explanations": explanations}

    @component.output_types(documents=list[Document], explanations=list[dict[str, Any]])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """Call run() in a worker thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, query, filters, top_k)

    def synchronize(self) -> list[Document]:
        """Read the store and count the words that it holds now; returns its documents."""
        store = store_of(self.retriever)
        before = store.count_documents()
        documents: list[Document] = store.filter_documents()
        if len(documents) < min(before, store.count_documents()):
            raise ValueError(
                f"{type(store).__name__}.filter_documents() lists {len(documents)} of {before} documents; expected "
                "all, to count their words: connect the store's own two retrievers to a TinyDPRBlendJoiner"
            )
        self._mirror().synchronize({document.id: self._passage(document) for document in documents})
        return documents

    def warm_up(self) -> None:
        """Load the model; otherwise the first run() loads it."""
        self._embedder.warm_up()
        if hasattr(self.retriever, "warm_up"):
            self.retriever.warm_up()

    def close(self) -> None:
        """Close the file of bm25_path, and what the embedding retriever closes; the next run opens them again."""
        if self._bm25 is not None:
            self._bm25.close()
            self._bm25 = None
        if hasattr(self.retriever, "close"):
            self.retriever.close()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component, its store and its embedder to plain data."""
        return default_to_dict(
            self,
            retriever=component_to_dict(self.retriever, "retriever"),
            text_embedder=component_to_dict(self._embedder, "text_embedder"),
            top_k=self.top_k,
            filters=self.filters,
            title_meta_field=self.title_meta_field,
            bm25_path=self.bm25_path,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TinyDPRBlendRetriever":
        """Deserialize what to_dict returned; data is not modified."""
        parameters = dict(data.get("init_parameters", {}))
        for name in ("retriever", "text_embedder"):
            if parameters.get(name) is not None:
                part = parameters[name]
                parameters[name] = component_from_dict(import_class_by_name(part["type"]), part, name)
        made: TinyDPRBlendRetriever = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made

    def _mirror(self) -> BM25Mirror:
        if self._bm25 is None:
            self._bm25 = BM25Mirror() if self.bm25_path is None else BM25Mirror(self.bm25_path)
        return self._bm25

    def _follow_store(self, found: Iterable[Document]) -> None:
        """Read the store again where it has changed, as far as its count and the documents found tell."""
        mirror = self._mirror()
        if len(mirror) != store_of(self.retriever).count_documents() or not all(
            mirror.holds(document.id, self._passage(document)) for document in found
        ):
            self.synchronize()

    def _blend(
        self,
        query: str,
        dense: Mapping[str, float],
        top_k: int,
        filters: dict[str, Any] | None,
        known: Iterable[Document],
    ) -> list[tuple[BlendedHit, Document | None]]:
        """The best hits with their documents; None where it is neither known nor found in the store."""
        store = store_of(self.retriever)
        by_id = {document.id: document for document in known}
        allowed = None
        if filters:
            allowed = {document.id: document for document in store.filter_documents(filters)}
            by_id = {**allowed, **by_id}
        cosine = are_cosines(self._embedder.encoder)
        hits = self._mirror().search(query, dense, top_k, cosine=cosine, among=allowed)
        missing = [hit.id for hit in hits if hit.id not in by_id]
        if missing:
            by_id.update(documents_by_id(store, missing))
        return [(hit, by_id.get(hit.id)) for hit in hits]

    def _passage(self, document: Document) -> Passage:
        title = None if self.title_meta_field is None else document.meta.get(self.title_meta_field)
        if title is not None and not isinstance(title, str):
            raise TypeError(
                f"meta[{self.title_meta_field!r}] of document {document.id} is a {type(title).__name__}; expected "
                "a str or None: convert it, or name another title_meta_field (None counts no title)"
            )
        return Passage(title, document.content or "")
