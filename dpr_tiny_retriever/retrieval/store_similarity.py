"""Vector stores of other projects: the similarity that they rank by, and whether the model ranks by the same."""

from __future__ import annotations

from typing import Literal

from dpr_tiny_retriever.types import Similarity

StoreSimilarity = Literal["dot", "cosine", "l2"]

_NAMES = {"dot": "dot product", "cosine": "cosine", "l2": "L2 distance"}
_MARKS: dict[StoreSimilarity, tuple[str, ...]] = {
    "cosine": ("cos",),
    "dot": ("dot", "inner", "ip"),
    "l2": ("l2", "euclid"),
}


def similarity_named(name: str) -> StoreSimilarity | None:
    """Return the similarity that a store calls by this name, such as "COSINE_DISTANCE", "ip" or "l2"; None if none."""
    name = name.lower()
    for kind, marks in _MARKS.items():
        if any(name.startswith(mark) or mark in name.split("_") for mark in marks):
            return kind
    return None


def ranking_problem(found: StoreSimilarity, setting: str, needed: Similarity, remedy: str) -> str | None:
    """Return why a store ranks otherwise than a model whose vectors do not have unit length; None if it does not.

    setting: where the store's similarity was found; remedy: what else to do than to take another store.
    """
    if found == needed:
        return None
    return (
        f"{setting} ranks by {_NAMES[found]}, the model by {_NAMES[needed]}, which is another order, since "
        f"its vectors are not of unit length; expected a store that ranks by {_NAMES[needed]}, or {remedy}"
    )
