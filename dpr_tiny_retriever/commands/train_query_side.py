"""What `dpr-tiny train --query-side-only` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.commands.console import say
from dpr_tiny_retriever.types import BackendName


def train_query_side_only(
    questions: Sequence[Path],
    output: Path,
    passage_model: str | None,
    start: str | None,
    values: Mapping[str, Any],
    vectors: str | None,
    backend: BackendName,
    threads: int | None,
    tensorboard: Path | None,
    license: str | None,
    resume: bool,
) -> None:
    """Teach a query encoder the space of passage_model; the parameters are the command's options."""
    from dpr_tiny_retriever import DualEncoder, Encoder
    from dpr_tiny_retriever.training import QuerySideSettings, RunOptions, train_query_side
    from dpr_tiny_retriever.training.recipe import change_record
    from dpr_tiny_retriever.training.validated import validated

    if passage_model is None:
        raise ValueError(
            "found --query-side-only without --passage-model; expected the model that encodes the passages"
        )
    chosen: dict[str, Any] = {}
    change_record(chosen, values)
    settings = validated(QuerySideSettings, chosen, "the options")
    run = train_query_side(
        questions,
        output,
        passage_model=DualEncoder.from_pretrained(passage_model, backend=backend, threads=threads),
        start=Encoder.from_pretrained(start, side="query", backend=backend, threads=threads),
        settings=settings,
        vectors=None if vectors is None else Path(vectors),
        options=RunOptions(
            tensorboard=tensorboard,
            license=license,
            resume=resume,
            started_from="the bundled pair" if start is None else Path(start).name,
        ),
    )
    measured = (
        f"; cosine to the passage model's on {run.held_out} held out: {run.agreement:.4f}" if run.held_out else ""
    )
    say(f"{output}: {run.steps} steps on {run.questions} questions, {run.skipped.count} records skipped{measured}")
