"""The embedding retriever of a blend, which is another project's component: what it must be, and its document store."""

from collections.abc import Mapping, Sequence
from typing import Any

from haystack import Document
from haystack.errors import FilterError

from haystack_integrations.components.embedders.dpr_tiny.connected_stores import setting


def check_retriever(retriever: Any) -> None:
    """Raise TypeError for what is no embedding retriever over a store, ValueError for one whose settings do not fit."""
    if isinstance(retriever, type) or not callable(getattr(retriever, "run", None)) or store_of(retriever) is None:
        raise TypeError(
            f"retriever is {retriever!r}; expected an embedding retriever over a document store, such as "
            "InMemoryEmbeddingRetriever(document_store)"
        )
    name = type(retriever).__name__
    if setting(retriever, "scale_score"):
        raise ValueError(f"{name} has scale_score=True; a blend needs its scores as they are: scale_score=False")
    if setting(retriever, "filters"):
        raise ValueError(
            f"{name} has filters of its own, which words would not pass through; give them to TinyDPRBlendRetriever"
        )


def store_of(retriever: Any) -> Any:
    """The document store that a retriever searches; None where it has none."""
    store = setting(retriever, "document_store")
    return store if callable(getattr(store, "filter_documents", None)) else None


def documents_by_id(store: Any, ids: Sequence[str]) -> dict[str, Document]:
    """Those of the documents that a store holds, and finds by id."""
    held = getattr(store, "storage", None)
    if isinstance(held, Mapping):  # InMemoryDocumentStore, whose filters look at every document
        return {id: held[id] for id in ids if id in held}
    try:
        found = store.filter_documents({"field": "id", "operator": "in", "value": list(ids)})
    except (FilterError, ValueError):  # Chroma finds one id at a time
        filters = ({"field": "id", "operator": "==", "value": id} for id in ids)
        found = [document for one in filters for document in store.filter_documents(one)]
    return {document.id: document for document in found}
