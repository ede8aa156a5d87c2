"""Vectors that are NaN or infinite rank nothing: they are an error of the model, never a result."""

from __future__ import annotations

import numpy as np

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Array


def refuse_not_finite(vectors: Array) -> None:
    """Raise CheckpointError where a component is NaN or infinite."""
    if not np.isfinite(vectors).all():
        raise not_finite()


def not_finite() -> CheckpointError:
    """The error for vectors that have NaN or infinite components."""
    return CheckpointError(
        "the model's vectors are not finite: its weights are too large to compute with, or NaN; expected the weights "
        "as they were trained: download or copy them again"
    )
