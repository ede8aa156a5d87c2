"""Evaluation of retrieval as published: data sets, exact search, measures, baselines, reports.

Needs the extra `eval`. Names are imported when first used, so that importing this costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dpr_tiny_retriever.errors import MissingExtraError

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.answer_matching import has_answer
    from dpr_tiny_retriever.data.corpus import Corpus
    from dpr_tiny_retriever.data.datasets import Dataset, load_dataset
    from dpr_tiny_retriever.data.records import DataError
    from dpr_tiny_retriever.evaluation.measures import measure
    from dpr_tiny_retriever.evaluation.model_index import write_card
    from dpr_tiny_retriever.evaluation.plot import write_plot
    from dpr_tiny_retriever.evaluation.report import (
        as_json,
        as_markdown,
        print_report,
        worst,
        write_results,
        write_run_files,
    )
    from dpr_tiny_retriever.evaluation.run import Evaluation, Result, evaluate
    from dpr_tiny_retriever.retrieval.embedding_cache import EmbeddingCache
    from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits, approximate_search, exact_search
    from dpr_tiny_retriever.retrieval.retrievers import BM25, Dense, System

_HOMES = {
    "data.answer_matching": ("has_answer",),
    "retrieval.embedding_cache": ("EmbeddingCache",),
    "evaluation.model_index": ("write_card",),
    "data.corpus": ("Corpus",),
    "data.datasets": ("Dataset", "load_dataset"),
    "evaluation.measures": ("measure",),
    "evaluation.plot": ("write_plot",),
    "data.records": ("DataError",),
    "evaluation.report": ("as_json", "as_markdown", "print_report", "worst", "write_results", "write_run_files"),
    "evaluation.run": ("Evaluation", "Result", "evaluate"),
    "retrieval.nearest_neighbours": ("Hits", "approximate_search", "exact_search"),
    "retrieval.retrievers": ("BM25", "Dense", "System"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BM25",
    "Corpus",
    "DataError",
    "Dataset",
    "Dense",
    "EmbeddingCache",
    "Evaluation",
    "Hits",
    "Result",
    "System",
    "approximate_search",
    "as_json",
    "as_markdown",
    "evaluate",
    "exact_search",
    "has_answer",
    "load_dataset",
    "measure",
    "print_report",
    "worst",
    "write_card",
    "write_plot",
    "write_results",
    "write_run_files",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"dpr_tiny_retriever.{_HOME_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("dpr_tiny_retriever"):
            raise
        raise MissingExtraError(
            f"evaluation needs {error.name}, which is not installed; run: pip install 'dpr-tiny-retriever[eval]'"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
