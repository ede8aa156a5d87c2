"""Training of pairs as dense passage retrieval does (Karpukhin et al. 2020), and their distillation from a teacher.

Needs the extra `train`. Names are imported when first used, so that importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpr_tiny_retriever.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.examples import Broken, Example, read_examples, write_examples
    from dpr_tiny_retriever.retrieval.hard_negatives import Mining, mine_bm25, mine_dense, read_corpus
    from dpr_tiny_retriever.training.distillation import Distillation, Teacher
    from dpr_tiny_retriever.training.initialisation import NewModel, grow, load_start, new_pair
    from dpr_tiny_retriever.training.settings import Settings
    from dpr_tiny_retriever.training.trainer import Run, train

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "data.examples": ("Broken", "Example", "read_examples", "write_examples"),
        "training.distillation": ("Distillation", "Teacher"),
        "retrieval.hard_negatives": ("Mining", "mine_bm25", "mine_dense", "read_corpus"),
        "training.settings": ("Settings",),
        "training.initialisation": ("NewModel", "grow", "load_start", "new_pair"),
        "training.trainer": ("Run", "train"),
    },
    extra="train",
)

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
