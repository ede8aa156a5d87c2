"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from dpr_tiny_retriever.types import BackendName

Backend: TypeAlias = Annotated[
    BackendName,
    typer.Option(help="What runs the model; auto takes the fastest that this installation has.", case_sensitive=False),
]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Threads that encode; without it, as many as this process may use.")
]
