"""Tiny dense passage retrieval for Haystack, LangChain and plain Python.

Importing this package imports neither TensorFlow nor any framework; both are loaded when first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.errors import CheckpointError, MissingExtraError, ModelNotFoundError
from dpr_tiny_retriever.passage import Passage

if TYPE_CHECKING:
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.encoder import Encoder

__all__ = [
    "CheckpointError",
    "DualEncoder",
    "Encoder",
    "MissingExtraError",
    "ModelNotFoundError",
    "Passage",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name == "DualEncoder":
        from dpr_tiny_retriever.dual_encoder import DualEncoder

        return DualEncoder
    if name == "Encoder":
        from dpr_tiny_retriever.encoder import Encoder

        return Encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "DualEncoder", "Encoder"])
