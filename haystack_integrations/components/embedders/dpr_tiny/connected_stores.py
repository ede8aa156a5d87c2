"""Document stores connected to an embedder in its pipeline, and whether they suit its model."""

import inspect
from collections.abc import Iterator
from typing import Any

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.retrieval.store_similarity import StoreSimilarity, ranking_problem, similarity_named

# Attributes in which haystack-ai's document stores and retrievers keep their similarity function and vector dimension.
_SIMILARITIES = (
    "vector_function",
    "embedding_similarity_function",
    "similarity",
    "distance_function",
    "metric",
    "similarity_function",
)
_WIDTHS = ("embedding_dim", "embedding_dimension", "vector_dimension")
_REMEDIES = {
    "dot": "normalize_embeddings=True or exact_dot=True in both embedders, and the documents embedded again",
    "cosine": "normalize_embeddings=True in both embedders, and the documents embedded again",
}


def setting(part: Any, name: str) -> Any:
    """Return the attribute of this name, which some integrations spell with a leading underscore."""
    return getattr(part, name, None) or getattr(part, f"_{name}", None)


def components_behind(component: Any, *, everywhere: bool = False) -> Iterator[Any]:
    """Yield the successors of a component in its pipeline, or all its descendants; nothing outside a pipeline."""
    pipeline = getattr(component, "__haystack_added_to_pipeline__", None)
    if pipeline is None:
        return
    waiting, seen = [pipeline.get_component_name(component)], set()
    while waiting:
        for name in pipeline.graph.successors(waiting.pop()):
            if name not in seen:
                seen.add(name)
                yield pipeline.get_component(name)
                if everywhere:
                    waiting.append(name)


def ranks_by(store: Any, retriever: Any = None) -> tuple[StoreSimilarity, str] | None:
    """Return a store's similarity, "dot", "cosine" or "l2", and the setting it was read from; None if unknown."""
    for part in (retriever, store):
        for name in _SIMILARITIES:
            value = setting(part, name)
            if isinstance(value, str) and (kind := similarity_named(value)) is not None:
                return kind, f"{type(part).__name__}({name}={value!r})"
    metric = getattr(getattr(store, "index", None), "metric_type", None)  # FAISS: 0 is the dot product, 1 is L2
    if metric in (0, 1):
        description = str(setting(store, "index_string"))
        similarity: StoreSimilarity = "cosine" if description.startswith("L2norm") else "l2" if metric else "dot"
        return similarity, f"{type(store).__name__}(index_string={description!r})"
    return None


def problem_of(encoder: Encoder, store: Any, retriever: Any = None) -> str | None:
    """Return why a store does not suit a model (dimension or similarity), or None if it does."""
    for name in _WIDTHS:
        width = setting(store, name)
        if isinstance(width, int) and width != encoder.embedding_dim:
            return (
                f"{type(store).__name__} has {name}={width}, the model's vectors have {encoder.embedding_dim} floats; "
                f"expected a store made with {name}={encoder.embedding_dim}"
            )
    found = None if encoder.ranks_alike else ranks_by(store, retriever)
    return None if found is None else ranking_problem(*found, encoder.similarity, _REMEDIES[encoder.similarity])


def squeezed_scores(encoder: Encoder, store: Any, retriever: Any) -> str | None:
    """Return why a retriever's scale_score makes its scores unusable as similarities, or None if it does not."""
    if not setting(retriever, "scale_score") or not encoder.normalize:
        return None
    found = ranks_by(store, retriever)
    if found is None or found[0] != "dot":
        return None
    return (
        f"{type(retriever).__name__} has scale_score=True, made for dot products of hundreds: those of unit-length "
        "vectors are squeezed together around 0.5 (0.72 becomes 0.5018), so that a threshold means nothing; "
        "expected scale_score=False, whose scores are cosines"
    )


def probe_of(retriever: Any, embedding: list[float]) -> dict[str, Any] | None:
    """Return arguments to retrieve the nearest document; None if the retriever needs more than an embedding."""
    parameters = inspect.signature(retriever.run).parameters
    needed = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    if needed != ["query_embedding"]:
        return None
    return {"query_embedding": embedding, **({"top_k": 1} if "top_k" in parameters else {})}
