"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
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

Folder: TypeAlias = Annotated[Path, typer.Argument(help="A folder of .txt, .md, .rst and .html files.")]
AllFolders: TypeAlias = Annotated[
    bool, typer.Option("--all-folders", help="Also read hidden folders, node_modules and the like.")
]
Model: TypeAlias = Annotated[
    str | None, typer.Option(help="A preset, a folder or a hub id; without it the bundled pair.")
]
IndexPath: TypeAlias = Annotated[
    Path | None,
    typer.Option("--index", help="The file that keeps the index; without it, one in the user's cache."),
]
