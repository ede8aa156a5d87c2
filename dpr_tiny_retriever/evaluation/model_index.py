"""Results as model-index metadata in the README of a model, which the hub reads and shows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dpr_tiny_retriever.evaluation.run import Evaluation, Result

_TASK = "text-retrieval"


def write_card(evaluation: Evaluation, result: Result, path: Path) -> Path:
    """Write a system's figures into a README, or the README.md of a folder; returns the file written.

    Figures of the same data set and measure are replaced, all else is kept; a file that is not there is made.
    """
    path = path / "README.md" if path.is_dir() else path
    card = ModelCard.load(path) if path.is_file() else ModelCard("---\n{}\n---\n")
    metadata = cast(ModelCardData, card.data)
    metadata.model_name = metadata.model_name or (path.resolve().parent.name if path.is_file() else result.name)
    fresh = [_eval_result(evaluation, name, value) for name, value in result.measures.items()]
    written = {one.unique_identifier for one in fresh}
    kept = [one for one in metadata.eval_results or [] if one.unique_identifier not in written]
    metadata.eval_results = kept + fresh
    path.parent.mkdir(parents=True, exist_ok=True)
    card.save(path)
    return path


def _eval_result(evaluation: Evaluation, name: str, value: float) -> EvalResult:
    dataset = evaluation.dataset
    size = f"{len(dataset.queries)} queries, {len(dataset.corpus)} passages"
    return EvalResult(
        task_type=_TASK,
        task_name="Passage retrieval",
        dataset_type=dataset.name,
        dataset_name=f"{dataset.name}, {size}",
        dataset_config=dataset.protocol,
        dataset_args={"queries": len(dataset.queries), "passages": len(dataset.corpus)},
        metric_type=name,
        metric_name=name,
        metric_value=round(value, 6),
    )
