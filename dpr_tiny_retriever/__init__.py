"""Tiny dense passage retrieval for Haystack, LangChain and plain Python.

Importing this package imports neither TensorFlow nor any framework; both are loaded when first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpr_tiny_retriever.errors import CheckpointError, MissingExtraError, ModelNotFoundError
from dpr_tiny_retriever.passage import Passage

if TYPE_CHECKING:
    from dpr_tiny_retriever.encoder import DualEncoder, Encoder

__version__ = "0.1.0"
__all__ = ["CheckpointError", "DualEncoder", "Encoder", "MissingExtraError", "ModelNotFoundError", "Passage"]


def __getattr__(name: str) -> object:
    if name in ("DualEncoder", "Encoder"):
        from dpr_tiny_retriever import encoder

        return getattr(encoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "DualEncoder", "Encoder"])
