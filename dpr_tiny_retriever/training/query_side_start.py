"""The query encoder that a training of the query side alone starts from."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.model.config import Dense
from dpr_tiny_retriever.types import Array, Similarity, Vectors

_FITTED = 8192  # questions that the projection is fitted on
_PENALTY = 1e-3  # of the kernel, relative to the inputs' mean variance


def projected_start(
    start: Encoder,
    questions: PassageStore,
    vectors: NDArray[np.floating],
    *,
    max_length: int,
    normalize: bool,
    similarity: Similarity,
) -> Encoder:
    """The encoder with a projection to the width of the teacher's vectors [n, d] of the questions.

    The projection is a least-squares fit on some thousand questions, evenly spread; one that start has already
    becomes a part of it. normalize and similarity are those of the passages' encoder.
    """
    max_length = min(max_length, start.config.max_position_embeddings)
    plain = dataclasses.replace(start.config, normalize=False)
    encoder = Encoder(plain, start.weights, start.tokenizer, max_length=max_length)
    rows = np.unique(np.linspace(0, len(questions) - 1, min(_FITTED, len(questions))).astype(np.int64))
    found = encoder.encode(questions.passages(rows), show_progress=False)  # [m, w]
    wanted = vectors[rows].astype(np.float32)  # [m, d]
    kernel, bias = _ridge_regression(found, wanted)
    if start.weights.projection is not None:
        first = start.weights.projection
        kernel, bias = np.asarray(first.kernel) @ kernel, np.asarray(first.bias) @ kernel + bias
    projection = Dense(np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32))
    return Encoder(
        dataclasses.replace(plain, projection_dim=wanted.shape[1], normalize=normalize),
        start.weights._replace(projection=projection),
        start.tokenizer,
        max_length=max_length,
        similarity=similarity,
    )


def _ridge_regression(inputs: Vectors, outputs: Vectors) -> tuple[Array, Array]:
    """Kernel [w, d] and bias [d] of the least-squares fit of outputs [m, d] by inputs [m, w], with a small penalty.

    Outputs of a LayerNorm lie in a plane: without the penalty, the kernel across it would be anything, and huge.
    """
    inner, outer = inputs.mean(axis=0), outputs.mean(axis=0)
    centered = (inputs - inner).astype(np.float64)  # [m, w]
    moments = centered.T @ centered
    penalty = _PENALTY * np.trace(moments) / len(moments) * np.eye(len(moments))
    kernel: Array = np.linalg.solve(moments + penalty, centered.T @ (outputs - outer))
    return kernel, outer - inner @ kernel
