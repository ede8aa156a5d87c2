"""Evaluation of retrieval as published: data sets, exact search, measures, baselines, reports.

Needs the extra `eval`. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpr_tiny_retriever.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.answer_matching import has_answer
    from dpr_tiny_retriever.data.data_files import DataError
    from dpr_tiny_retriever.data.dataset import Dataset
    from dpr_tiny_retriever.data.load_dataset import load_dataset
    from dpr_tiny_retriever.data.passage_store import PassageStore
    from dpr_tiny_retriever.evaluation.failures import Failure, worst_queries
    from dpr_tiny_retriever.evaluation.measures import measure
    from dpr_tiny_retriever.evaluation.model_index import write_card
    from dpr_tiny_retriever.evaluation.plot import write_plot
    from dpr_tiny_retriever.evaluation.report import as_json, as_markdown, print_report, write_results
    from dpr_tiny_retriever.evaluation.run import Evaluation, Result, evaluate
    from dpr_tiny_retriever.evaluation.trec_files import write_run_files
    from dpr_tiny_retriever.retrieval.embedding_cache import EmbeddingCache
    from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits, approximate_search, exact_search
    from dpr_tiny_retriever.retrieval.retrievers import BM25, Dense, Retriever

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "data.answer_matching": ("has_answer",),
        "retrieval.embedding_cache": ("EmbeddingCache",),
        "evaluation.model_index": ("write_card",),
        "data.passage_store": ("PassageStore",),
        "data.dataset": ("Dataset",),
        "data.load_dataset": ("load_dataset",),
        "evaluation.measures": ("measure",),
        "evaluation.plot": ("write_plot",),
        "data.records": ("DataError",),
        "evaluation.report": ("as_json", "as_markdown", "print_report", "write_results"),
        "evaluation.failures": ("Failure", "worst_queries"),
        "evaluation.trec_files": ("write_run_files",),
        "evaluation.run": ("Evaluation", "Result", "evaluate"),
        "retrieval.nearest_neighbours": ("Hits", "approximate_search", "exact_search"),
        "retrieval.retrievers": ("BM25", "Dense", "Retriever"),
    },
    extra="eval",
)

__all__ = [
    "BM25",
    "DataError",
    "Dataset",
    "Dense",
    "EmbeddingCache",
    "Evaluation",
    "Failure",
    "Hits",
    "PassageStore",
    "Result",
    "Retriever",
    "approximate_search",
    "as_json",
    "as_markdown",
    "evaluate",
    "exact_search",
    "has_answer",
    "load_dataset",
    "measure",
    "print_report",
    "worst_queries",
    "write_card",
    "write_plot",
    "write_results",
    "write_run_files",
]
