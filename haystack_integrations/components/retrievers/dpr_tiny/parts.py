"""The embedding retriever of a blend, which is another project's component: what it must be, and its document store."""

from typing import Any


def check_retriever(retriever: Any) -> None:
    """Raise TypeError for what is no embedding retriever over a store, ValueError for one whose settings do not fit."""
    if isinstance(retriever, type) or not callable(getattr(retriever, "run", None)) or store_of(retriever) is None:
        raise TypeError(
            f"retriever is {retriever!r}; expected an embedding retriever over a document store, such as "
            "InMemoryEmbeddingRetriever(document_store)"
        )
    name = type(retriever).__name__
    if _setting(retriever, "scale_score"):
        raise ValueError(f"{name} has scale_score=True; a blend needs its scores as they are: scale_score=False")
    if _setting(retriever, "filters"):
        raise ValueError(
            f"{name} has filters of its own, which words would not pass through; give them to TinyDPRBlendRetriever"
        )


def store_of(retriever: Any) -> Any:
    """The document store that a retriever searches; None where it has none."""
    store = _setting(retriever, "document_store")
    return store if callable(getattr(store, "filter_documents", None)) else None


def _setting(retriever: Any, name: str) -> Any:
    """An attribute that haystack's own components give its plain name, and some integrations one with an underscore."""
    return getattr(retriever, name, None) or getattr(retriever, f"_{name}", None)
