"""The model card of a training run: what it was trained on and how, what it measured, how to use it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from huggingface_hub import ModelCard, ModelCardData

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
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
    card = ModelCard.from_template(
        ModelCardData(
            license=options.license,
            library_name="dpr-tiny-retriever",
            pipeline_tag="feature-extraction",
            tags=["dense-passage-retrieval", "sentence-transformers"],
        ),
        template_path=str(_TEMPLATE),
        table=_table,
        name=path.parent.resolve().name,
        shape=_shape(pair),
        sources=[(s.name, f"{s.examples:,}", f"{s.skipped:,}", f"`{s.digest[:16]}`") for s in read.sources],
        truncated_queries=read.examples.queries.num_truncated,
        truncated_passages=read.examples.passages.num_truncated,
        skipped=read.skipped,
        started_from=options.started_from,
        steps=run.steps,
        seconds=run.seconds,
        batch_size=settings["batches.size"],
        replicas=replicas,
        teacher=teacher,
        settings=[(name, f"`{value}`") for name, value in settings.items()],
        dev_names=", ".join(source.name for source in read.dev_sources) or "examples drawn from the data",
        hit_names=[f"hit@{k}" for k in run.dev[0].hits] if run.dev else [],
        scores=_score_rows(run.dev),
        embedding_dim=pair.embedding_dim,
        metric={"dot": "dot_product", "cosine": "cosine"}[pair.similarity],
        versions=f"dpr-tiny-retriever {__version__}, TensorFlow {tf.__version__}, Python {platform.python_version()}",
    )
    path.write_text(str(card), encoding="utf-8")


def _shape(pair: DualEncoder) -> list[tuple[str, str]]:
    config, tied = pair.query_encoder.config, is_tied(pair)
    size = _size(pair.query_encoder) + (0 if tied else _size(pair.passage_encoder))
    return [
        ("layers, width, heads", f"{config.num_hidden_layers}, {config.hidden_size}, {config.num_attention_heads}"),
        ("vectors", f"{pair.embedding_dim} floats{', unit length' if pair.normalize else ''}"),
        ("compared by", pair.similarity),
        ("pooling", config.pooling),
        ("parameters", f"{size:,}{', one encoder for both sides' if tied else ', both sides'}"),
        ("longest query, passage", f"{pair.query_encoder.max_length}, {pair.passage_encoder.max_length} tokens"),
    ]


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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _size(encoder: Encoder) -> int:
    return sum(array.size for array in tree_leaves(encoder.weights))
