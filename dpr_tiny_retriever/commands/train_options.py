"""The options of `dpr-tiny train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from dpr_tiny_retriever.types import BackendName

Data: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        help="DPR JSON, JSON lines (plain or .gz) or BEIR folders; with --query-side-only questions: .txt, one a line, "
        "or JSON lines, plain or .gz."
    ),
]
Output: TypeAlias = Annotated[Path, typer.Option(help="The pair folder to write; a killed run goes on from it.")]
Start: TypeAlias = Annotated[
    str | None, typer.Option(help="Train on this preset, folder or hub id (the bundled pair).")
]
New: TypeAlias = Annotated[str | None, typer.Option(help="Train a new model with the vocabulary of this one.")]
Recipe: TypeAlias = Annotated[Path | None, typer.Option(help="A YAML file of stages, each with its start.")]
RecipeModels: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="NAME=PATH, for $NAME in the recipe. Repeatable.")
]
Values: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="NAME=VALUE, such as optimizer.learning_rate=1e-4, schedule.steps=500, batches.size=64, seed=1: any "
        "setting of dpr_tiny_retriever.training.Settings; or new.layers, new.width and others of a new model, "
        "layers (new ones on top of --start), tied. Repeatable; holds for all stages of a recipe.",
    ),
]
Dev: TypeAlias = Annotated[list[Path] | None, typer.Option(help="Data to evaluate on while training. Repeatable.")]
Split: TypeAlias = Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")]
Teacher: TypeAlias = Annotated[
    str | None,
    typer.Option(help="A preset, folder or hub id to distil, or a folder of its vectors (texts.jsonl)."),
]
TeacherBackend: TypeAlias = Annotated[BackendName, typer.Option(help="What runs the teacher.")]
TeacherThreads: TypeAlias = Annotated[int | None, typer.Option(help="Threads of the teacher (one for each processor).")]
Replicas: TypeAlias = Annotated[
    int, typer.Option(help="Logical devices to mirror over: GPUs where there are, else CPUs.")
]
TensorBoard: TypeAlias = Annotated[Path | None, typer.Option(help="A folder for TensorBoard.")]
License: TypeAlias = Annotated[str | None, typer.Option(help="The license that the model card states.")]
Resume: TypeAlias = Annotated[bool, typer.Option(help="Go on with an unfinished run in OUTPUT.")]
QuerySideOnly: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--query-side-only",
        help="Train a query encoder alone, from questions without passages, for the vectors of --passage-model. "
        "--set then names dpr_tiny_retriever.training.QuerySideSettings.",
    ),
]
PassageModel: TypeAlias = Annotated[
    str | None, typer.Option(help="The folder or hub id that encodes the passages, with --query-side-only.")
]
