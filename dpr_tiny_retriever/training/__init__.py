"""Training of pairs as dense passage retrieval does (Karpukhin et al. 2020), and their distillation from a teacher.

Needs the extra `train`. Names are imported when first used, so that importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpr_tiny_retriever.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.examples import Example, read_examples, write_examples
    from dpr_tiny_retriever.data.skipped_records import SkippedRecords
    from dpr_tiny_retriever.retrieval.hard_negatives import Mining, mine_bm25, mine_dense, read_corpus
    from dpr_tiny_retriever.training.distillation import Distillation, Teacher
    from dpr_tiny_retriever.training.initialisation import NewModel, add_layers, load_start, new_pair
    from dpr_tiny_retriever.training.losses import Contrastive, EmbeddingMatch, KLDivergence, MarginMSE
    from dpr_tiny_retriever.training.options import QuerySideRun, Run, RunOptions
    from dpr_tiny_retriever.training.query_side import train_query_side
    from dpr_tiny_retriever.training.query_side_settings import QuerySideSettings, QuestionBatches, QuestionLosses
    from dpr_tiny_retriever.training.recipe import Mean, Recipe, Stage, read_recipe, run_recipe
    from dpr_tiny_retriever.training.settings import (
        Batches,
        Evaluation,
        Losses,
        Optimizer,
        Regularization,
        Schedule,
        Settings,
    )
    from dpr_tiny_retriever.training.trainer import train
    from dpr_tiny_retriever.training.training_data import TrainingData

_HOMES = {
    "data.examples": ("Example", "read_examples", "write_examples"),
    "data.skipped_records": ("SkippedRecords",),
    "retrieval.hard_negatives": ("Mining", "mine_bm25", "mine_dense", "read_corpus"),
    "training.distillation": ("Distillation", "Teacher"),
    "training.initialisation": ("NewModel", "add_layers", "load_start", "new_pair"),
    "training.losses": ("Contrastive", "EmbeddingMatch", "KLDivergence", "MarginMSE"),
    "training.options": ("QuerySideRun", "Run", "RunOptions"),
    "training.query_side": ("train_query_side",),
    "training.query_side_settings": ("QuerySideSettings", "QuestionBatches", "QuestionLosses"),
    "training.recipe": ("Mean", "Recipe", "Stage", "read_recipe", "run_recipe"),
    "training.settings": ("Batches", "Evaluation", "Losses", "Optimizer", "Regularization", "Schedule", "Settings"),
    "training.trainer": ("train",),
    "training.training_data": ("TrainingData",),
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, extra="train")

__all__ = [
    "Batches",
    "Contrastive",
    "Distillation",
    "EmbeddingMatch",
    "Evaluation",
    "Example",
    "KLDivergence",
    "Losses",
    "MarginMSE",
    "Mean",
    "Mining",
    "NewModel",
    "Optimizer",
    "QuerySideRun",
    "QuerySideSettings",
    "QuestionBatches",
    "QuestionLosses",
    "Recipe",
    "Regularization",
    "Run",
    "RunOptions",
    "Schedule",
    "Settings",
    "SkippedRecords",
    "Stage",
    "Teacher",
    "TrainingData",
    "add_layers",
    "load_start",
    "mine_bm25",
    "mine_dense",
    "new_pair",
    "read_corpus",
    "read_examples",
    "read_recipe",
    "run_recipe",
    "train",
    "train_query_side",
    "write_examples",
]
