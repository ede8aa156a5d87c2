"""Writes a pair as one Router folder, which sentence-transformers loads as one model with a route for each side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.checkpoints.checkpoint import Checkpoint, write_checkpoint
from dpr_tiny_retriever.checkpoints.json_files import read_json, write_json
from dpr_tiny_retriever.checkpoints.modules import MODULES_FILE, ROUTER_FILE, ROUTES
from dpr_tiny_retriever.checkpoints.sentence_transformers import MODEL_SETTINGS_FILE
from dpr_tiny_retriever.types import Side


def write_router(directory: Path, sides: Mapping[Side, Checkpoint]) -> None:
    """Write both sides into an existing folder, each with modules of its own, also where they share weights."""
    types: dict[str, str] = {}
    structure: dict[str, list[str]] = {}
    prompts: dict[str, str] = {}
    for side, checkpoint in sides.items():
        route = ROUTES[side][0]
        written = _write_route(directory, route, checkpoint)
        types |= written
        structure[route] = list(written)
        prompts[route] = checkpoint.tokenizer.prompt
    write_json(
        directory / ROUTER_FILE,
        {"types": types, "structure": structure, "parameters": {"default_route": ROUTES["passage"][0]}},
    )
    write_json(
        directory / MODULES_FILE,
        [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}],
    )
    write_json(
        directory / MODEL_SETTINGS_FILE,
        {"prompts": prompts, "similarity_fn_name": next(iter(sides.values())).similarity},
    )


def _write_route(directory: Path, route: str, checkpoint: Checkpoint) -> dict[str, str]:
    """Write the modules of one side, each into a folder of its own: folder -> class, in their order."""
    transformer = directory / f"{route}_0_Transformer"
    transformer.mkdir()
    write_checkpoint(transformer, checkpoint)
    types: dict[str, str] = {}
    modules: list[Any] = read_json(transformer / MODULES_FILE, list)
    for index, module in enumerate(modules):
        name = f"{route}_{index}_{module['type'].rsplit('.', 1)[-1]}"
        types[name] = module["type"]
        written = transformer / module["path"]
        if index and written.is_dir():
            written.rename(directory / name)
        else:
            (directory / name).mkdir(exist_ok=True)  # a Normalize has no files
    # What is said of one side alone stands in the Router's own files.
    (transformer / MODULES_FILE).unlink()
    (transformer / MODEL_SETTINGS_FILE).unlink()
    return types
