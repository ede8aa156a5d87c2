"""Results as model-index metadata in a model's README, which the hub reads and shows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.evaluation.run import Evaluation, Result

_TASK = "text-retrieval"


def write_card(evaluation: Evaluation, result: Result, path: Path) -> Path:
    """Write one result into a README, or into the README.md of a folder; returns the file written.

    Results of the same data set and measure are replaced and everything else is kept. A missing file is created.
    """
    path = (path / "README.md" if path.is_dir() else path).resolve()  # a link keeps pointing to the file
    exists = path.is_file()
    card = ModelCard.load(path) if exists else ModelCard("---\n{}\n---\n")
    metadata = cast(ModelCardData, card.data)
    metadata.model_name = metadata.model_name or (path.parent.name if exists else result.name)
    new = [_eval_result(evaluation, name, value) for name, value in result.measures.items()]
    replaced = {one.unique_identifier for one in new}
    kept = [one for one in metadata.eval_results or [] if one.unique_identifier not in replaced]
    metadata.eval_results = kept + new
    with replaced_file(path) as part:
        card.save(part)
        if exists:
            shutil.copymode(path, part)
    return path


def _eval_result(evaluation: Evaluation, measure: str, value: float) -> EvalResult:
    dataset = evaluation.dataset
    size = f"{len(dataset.queries)} queries, {len(dataset.corpus)} passages"
    return EvalResult(
        task_type=_TASK,
        task_name="Passage retrieval",
        dataset_type=dataset.name,
        dataset_name=f"{dataset.name}, {size}",
        dataset_config=dataset.protocol,
        dataset_args={"queries": len(dataset.queries), "passages": len(dataset.corpus)},
        metric_type=measure,
        metric_name=measure,
        metric_value=round(value, 6),
    )
