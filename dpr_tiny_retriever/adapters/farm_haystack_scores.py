"""Scores of retrieved documents: the model's similarity, whatever the document store computes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dpr_tiny_retriever.adapters.farm_haystack_checks import store_similarity
from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore, Document
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.exact_dot import dot_from_cosine
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines
from dpr_tiny_retriever.types import Vectors

#: Haystack divides dot products by this before it scales them to 0 ... 1.
_SCALE = 100


def query_options(store: BaseDocumentStore, scale_score: bool) -> Mapping[str, Any]:
    """Return query options of a store with which score_documents can compute the model's similarity.

    Distances are not asked for: stores square them or not, and scale them the wrong way round. The vectors tell more.
    """
    similarity = store_similarity(store)
    if similarity is None:
        return {"scale_score": scale_score}
    return {"scale_score": False, **({"return_embedding": True} if similarity == "l2" else {})}


def score_documents(
    documents: Iterable[Document], vector: Vectors, store: BaseDocumentStore, encoder: DualEncoder, *, scale: bool
) -> None:
    """Replace the store's scores by the dot product or cosine with the question's vector [dim].

    scale: from 0 to 1, as haystack does: (cosine + 1) / 2, or the logistic function of a hundredth of a dot product. A
    store of an unknown similarity keeps its own scores.
    """
    similarity = store_similarity(store)
    if similarity is None:
        return
    are_cosines = scores_are_cosines(encoder.similarity, normalize=encoder.normalize)
    norm, bound = float(np.linalg.norm(vector)), encoder.exact_dot_bound
    for document in documents:
        score = float(document.score)
        if similarity == "l2":
            score = float(np.dot(np.asarray(document.embedding, np.float32), vector))
            document.embedding = document.embedding if store.return_embedding else None
        elif similarity == "cosine" and bound is not None:
            score = dot_from_cosine(score, norm, bound)
        document.score = _scaled(score, are_cosines) if scale else score


def _scaled(score: float, is_cosine: bool) -> float:
    return (score + 1) / 2 if is_cosine else 1 / (1 + math.exp(-score / _SCALE))
