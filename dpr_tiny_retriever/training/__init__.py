"""Training of pairs as dense passage retrieval does (Karpukhin et al. 2020), and their distillation from a teacher.

Needs the extra `train`. Names are imported when first used, so that importing this costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dpr_tiny_retriever.errors import MissingExtraError

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.examples import Broken, Example, read_examples, write_examples
    from dpr_tiny_retriever.retrieval.hard_negatives import Mining, mine_bm25, mine_dense, read_corpus
    from dpr_tiny_retriever.training.distillation import Distillation, Teacher
    from dpr_tiny_retriever.training.initialisation import NewModel, grow, load_start, new_pair
    from dpr_tiny_retriever.training.settings import Settings
    from dpr_tiny_retriever.training.trainer import Run, train

_HOMES = {
    "data.examples": ("Broken", "Example", "read_examples", "write_examples"),
    "training.distillation": ("Distillation", "Teacher"),
    "retrieval.hard_negatives": ("Mining", "mine_bm25", "mine_dense", "read_corpus"),
    "training.settings": ("Settings",),
    "training.initialisation": ("NewModel", "grow", "load_start", "new_pair"),
    "training.trainer": ("Run", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Broken",
    "Distillation",
    "Example",
    "Mining",
    "NewModel",
    "Run",
    "Settings",
    "Teacher",
    "grow",
    "load_start",
    "mine_bm25",
    "mine_dense",
    "new_pair",
    "read_corpus",
    "read_examples",
    "train",
    "write_examples",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"dpr_tiny_retriever.{_HOME_OF[name]}")
    except ImportError as error:
        if error.name and error.name.startswith("dpr_tiny_retriever"):
            raise
        raise MissingExtraError(
            f"training needs the module {error.name}; install it with pip install 'dpr-tiny-retriever[train]'"
        ) from error
    return getattr(module, name)
