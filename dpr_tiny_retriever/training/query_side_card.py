"""The model card of a training of the query side alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from dpr_tiny_retriever.training.model_card import markdown_table, versions
from dpr_tiny_retriever.training.options import QuerySideRun, RunOptions
from dpr_tiny_retriever.training.query_side_settings import QuerySideSettings

_TEMPLATE = Path(__file__).with_name("query_side_card.md")


def write_query_side_card(
    path: Path, run: QuerySideRun, files: Sequence[Path], settings: QuerySideSettings, options: RunOptions
) -> None:
    """Write README.md as the hub shows it."""
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
        pair=run.encoder,
        shapes=[
            [side, config.num_hidden_layers, config.hidden_size, config.num_attention_heads, encoder.max_length]
            for side, encoder in (("query", run.encoder.query_encoder), ("passage", run.encoder.passage_encoder))
            for config in (encoder.config,)
        ],
        files=[file.name for file in files],
        options=options,
        settings=[(name, f"`{value}`") for name, value in settings.named().items()],
        versions=versions(),
    )
    path.write_text(str(card), encoding="utf-8", newline="\n")
