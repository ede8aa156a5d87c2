"""The similarity measures of vector stores, and the error for a store that ranks unlike the model."""

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
    """Return the similarity measure that a name such as "COSINE_DISTANCE", "ip" or "l2" means; None if unknown."""
    name = name.lower()
    for kind, marks in _MARKS.items():
        if any(name.startswith(mark) or mark in name.split("_") for mark in marks):
            return kind
    return None


def ranking_problem(found: StoreSimilarity, setting: str, needed: Similarity, remedy: str) -> str | None:
    """Return an error message if a store's similarity measure is not the one that the model needs; None if it is.

    For vectors that are not of unit length, which dot product, cosine and L2 rank differently. setting names the store
    and its setting in the message; remedy is an alternative to changing the store.
    """
    if found == needed:
        return None
    return (
        f"{setting} ranks by {_NAMES[found]}, the model by {_NAMES[needed]}, which is another order, since "
        f"its vectors are not of unit length; expected a store that ranks by {_NAMES[needed]}, or {remedy}"
    )
