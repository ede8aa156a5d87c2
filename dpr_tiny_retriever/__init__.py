"""Tiny dense passage retrieval for Haystack, LangChain and plain Python.

Importing this package imports neither TensorFlow nor any framework; both are loaded when first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.errors import CheckpointError, MissingExtraError, ModelNotFoundError, UnusableIndexError

if TYPE_CHECKING:
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.encoder import Encoder
    from dpr_tiny_retriever.passage import Passage
    from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
    from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

__all__ = [
    "CheckpointError",
    "DualEncoder",
    "Encoder",
    "IndexedPassage",
    "MissingExtraError",
    "ModelNotFoundError",
    "Passage",
    "PassageIndex",
    "UnusableIndexError",
    "__version__",
]


#: Imported lazily: most of these import numpy, and the command line installs its signal handlers before that.
_HOMES = {
    "DualEncoder": "dual_encoder",
    "Encoder": "encoder",
    "IndexedPassage": "retrieval.index_file",
    "Passage": "passage",
    "PassageIndex": "retrieval.passage_index",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"dpr_tiny_retriever.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
