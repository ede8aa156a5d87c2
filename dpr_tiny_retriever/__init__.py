"""Tiny dense passage retrieval for Haystack, LangChain and plain Python.

Importing this package imports neither TensorFlow nor any framework; both are loaded when first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.errors import (
    CheckpointError,
    MissingExtraError,
    ModelMismatchError,
    ModelNotFoundError,
    UnusableIndexError,
)

if TYPE_CHECKING:
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.encoder import Encoder
    from dpr_tiny_retriever.exact_dot import dot_from_cosine, dot_from_squared_l2
    from dpr_tiny_retriever.model_stamp import STAMP_KEY, ModelStamp, check_stamp
    from dpr_tiny_retriever.passage import Passage
    from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
    from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

__all__ = [
    "STAMP_KEY",
    "CheckpointError",
    "DualEncoder",
    "Encoder",
    "IndexedPassage",
    "MissingExtraError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "ModelStamp",
    "Passage",
    "PassageIndex",
    "UnusableIndexError",
    "__version__",
    "check_stamp",
    "dot_from_cosine",
    "dot_from_squared_l2",
]


#: Imported lazily: most of these import numpy, and the command line installs its signal handlers before that.
_HOMES = {
    "DualEncoder": "dual_encoder",
    "Encoder": "encoder",
    "IndexedPassage": "retrieval.index_file",
    "ModelStamp": "model_stamp",
    "Passage": "passage",
    "PassageIndex": "retrieval.passage_index",
    "STAMP_KEY": "model_stamp",
    "check_stamp": "model_stamp",
    "dot_from_cosine": "exact_dot",
    "dot_from_squared_l2": "exact_dot",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"dpr_tiny_retriever.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
