"""Find the similarity measure of a LangChain vector store, and compare it with the model's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from langchain_core.vectorstores import InMemoryVectorStore

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.retrieval.store_similarity import StoreSimilarity, ranking_problem, similarity_named

_REMEDIES = {
    "dot": "TinyDPREmbeddings with exact_dot=True or normalize=True, and the documents added again",
    "cosine": "TinyDPREmbeddings with normalize=True, and the documents added again",
}


def ranks_by(store: Any) -> tuple[StoreSimilarity, str] | None:
    """Return the similarity measure of a store or store class, and the setting that names it; None if unknown."""
    made = store if isinstance(store, type) else type(store)
    if issubclass(made, InMemoryVectorStore):
        return "cosine", made.__name__
    for name, value in _settings(store):
        text = str(getattr(value, "name", value))  # most are enum members
        kind = similarity_named(text)
        if kind is not None:
            return kind, f"{made.__name__} with {name}={text!r}"
    return None


def store_problem(encoder: DualEncoder, store: Any) -> str | None:
    """Return an error message if a store's similarity measure ranks unlike the pair's; None if not, or if unknown."""
    found = None if encoder.ranks_alike else ranks_by(store)
    if found is None:
        return None
    return ranking_problem(*found, encoder.similarity, _REMEDIES[encoder.similarity])


def _settings(store: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of settings that may name the similarity measure."""
    if getattr(store, "_normalize_L2", False):  # FAISS
        yield "normalize_L2", "cosine"
    yield "distance", getattr(store, "distance", None)  # Qdrant
    inner = getattr(store, "_PGVectorStore__vs", store)
    yield "distance_strategy", getattr(inner, "distance_strategy", None)  # PGVectorStore, FAISS
    index_params = getattr(store, "index_params", None)  # Milvus
    if isinstance(index_params, dict):
        yield "metric_type", index_params.get("metric_type")
    collection = getattr(store, "_chroma_collection", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Chroma's, of collections without an embedding function
        configuration = getattr(collection, "configuration", None) or {}
    for index in ("hnsw", "spann"):
        yield "space", (configuration.get(index) or {}).get("space")
