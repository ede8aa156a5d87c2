"""An extra vector component, with which cosine and L2 rank passages exactly as the dot product does.

A passage x becomes (x, sqrt(M^2 - |x|^2)), of length M whatever x is; a query q becomes (q, 0). Dot products stay what
they were, and both other similarities now are functions of them (Bachrach et al. 2014, section 3; Neyshabur and Srebro
2015):

    cosine = dot / (|q| M)          L2^2 = |q|^2 + M^2 - 2 dot

M comes from the model alone, so that passages can be added at any time.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense
from dpr_tiny_retriever.types import Side, Vectors

#: A score or an array of scores.
Scores = TypeVar("Scores", float, NDArray[np.floating])


def exact_dot_bound(config: BertConfig, weights: BertWeights) -> float:
    """Return M, an upper bound on the norm of the model's vectors before any normalization.

    Of a LayerNorm's output, |x| <= max|scale| sqrt(width) + |offset|, and so of a mean of such; of a tanh's, |x| <=
    sqrt(width). A projection stretches by its largest singular value at most, and adds its bias.
    """
    norm = weights.layers[-1].output_norm if weights.layers else weights.embeddings.norm
    bound = float(np.abs(norm.scale).max()) * math.sqrt(config.hidden_size) + float(np.linalg.norm(norm.offset))
    if config.pooling == "pooler":
        bound = math.sqrt(config.hidden_size)
    return bound if weights.projection is None else _stretched(bound, weights.projection)


def with_exact_dot(vectors: Vectors, bound: float | None) -> Vectors:
    """Append the extra component to vectors [n, dim]: sqrt(bound^2 - |x|^2), or 0 for queries, whose bound is None."""
    wider = np.zeros((len(vectors), vectors.shape[1] + 1), np.float32)
    wider[:, :-1] = vectors
    if bound is not None:
        squares = np.square(vectors, dtype=np.float64).sum(axis=1)
        wider[:, -1] = np.sqrt(np.maximum(bound**2 - squares, 0))  # rounding may push the norm slightly above M
    return wider


def dot_from_cosine(cosine: Scores, query_norm: float, bound: float) -> Scores:
    """Recover the dot product of a query and a passage from the cosine of their exact_dot vectors.

    query_norm is the query vector's length, bound DualEncoder.exact_dot_bound.
    """
    return cosine * (query_norm * bound)


def dot_from_squared_l2(squared_distance: Scores, query_norm: float, bound: float) -> Scores:
    """Recover the dot product from the squared L2 distance, which FAISS, Chroma and LanceDB return.

    query_norm and bound as for dot_from_cosine.
    """
    return (query_norm**2 + bound**2 - squared_distance) / 2


def refuse_needless(normalize: bool, similarity: str, side: Side | None) -> None:
    """Raise ValueError if exact_dot is pointless for the model, or the side of the encoder is unknown."""
    if normalize:
        raise ValueError(
            "exact_dot is True, but this model's vectors have unit length, which rank alike by dot product, cosine and "
            "L2; leave exact_dot out"
        )
    if similarity != "dot":
        raise ValueError(
            f"exact_dot is True, but this model's vectors are compared by {similarity}, not by dot product; leave "
            "exact_dot out: normalize=True makes cosine, dot product and L2 rank alike"
        )
    if side is None:
        raise ValueError("exact_dot is True without a side; expected side='query' or 'passage', which differ in it")


def refuse_rounded(exact_dot: bool, dtype: str) -> None:
    """Raise ValueError for exact_dot vectors in a lower precision than float32, where they no longer rank exactly."""
    if exact_dot and dtype != "float32":
        raise ValueError(f"exact_dot is True with vectors of {dtype}, which would not rank exactly; expected float32")


def _stretched(bound: float, projection: Dense) -> float:
    return bound * float(np.linalg.norm(projection.kernel, 2)) + float(np.linalg.norm(projection.bias))
