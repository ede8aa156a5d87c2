"""The model card of a training run: what it was trained on and how, what it measured, how to use it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from huggingface_hub import ModelCard, ModelCardData

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.model.tree import tree_leaves
from dpr_tiny_retriever.training.dev_evaluation import DevScore
from dpr_tiny_retriever.training.initialisation import is_tied
from dpr_tiny_retriever.training.options import Run, RunOptions
from dpr_tiny_retriever.training.training_data import ReadData

_TEMPLATE = Path(__file__).with_name("model_card.md")


def write_model_card(
    path: Path,
    run: Run,
    read: ReadData,
    settings: Mapping[str, Any],
    options: RunOptions,
    *,
    teacher: str | None,
    replicas: int,
) -> None:
    """Write README.md as the hub shows it; settings are by their dotted names."""
    pair = run.encoder
    sides = [pair.query_encoder] if is_tied(pair) else [pair.query_encoder, pair.passage_encoder]
    card = ModelCard.from_template(
        ModelCardData(
            license=options.license,
            library_name="dpr-tiny-retriever",
            pipeline_tag="feature-extraction",
            tags=["dense-passage-retrieval", "sentence-transformers"],
        ),
        template_path=str(_TEMPLATE),
        table=markdown_table,
        name=path.parent.resolve().name,
        run=run,
        pair=pair,
        config=pair.query_encoder.config,
        parameters=sum(array.size for side in sides for array in tree_leaves(side.weights)),
        sides=sides,
        read=read,
        sources=[(s.name, f"{s.examples:,}", f"{s.skipped:,}", f"`{s.digest[:16]}`") for s in read.sources],
        options=options,
        batch_size=settings["batches.size"],
        replicas=replicas,
        teacher=teacher,
        settings=[(name, f"`{value}`") for name, value in settings.items()],
        hit_names=[f"hit@{k}" for k in run.dev[0].hits] if run.dev else [],
        scores=_score_rows(run.dev),
        metric={"dot": "dot_product", "cosine": "cosine"}[pair.similarity],
        versions=versions(),
    )
    path.write_text(str(card), encoding="utf-8", newline="\n")


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; a vertical bar in a cell is escaped."""
    lines: list[Sequence[object]] = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def versions() -> str:
    """What trained a model."""
    return f"dpr-tiny-retriever {__version__}, TensorFlow {tf.__version__}, Python {platform.python_version()}"


def _score_rows(scores: Sequence[DevScore]) -> list[list[str]]:
    best = min(scores, key=lambda score: score.average_rank, default=None)
    return [
        [
            f"{score.step:,}{' *' if score is best else ''}",
            f"{score.average_rank:.2f}",
            *map("{:.4f}".format, score.hits.values()),
        ]
        for score in scores
    ]
