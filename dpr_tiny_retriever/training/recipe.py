"""Recipe files: the stages of a pair's training as YAML, for anyone to run again on a copy of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from dpr_tiny_retriever.training.initialisation import NewModel
from dpr_tiny_retriever.training.settings import Settings, from_plain


@dataclass(frozen=True)
class Stage:
    """One run of a recipe; the first starts from a new model or a named one, the others from the stage before."""

    name: str
    settings: Settings
    start: NewModel | str | None
    layers: int | None
    tied: bool | None


def read_recipe(path: Path, models: Mapping[str, str]) -> list[Stage]:
    """Read the stages of a recipe; a model written as $NAME is looked up in models.

    Raises ValueError that names the file and what is wrong in it.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: found no YAML: {error}") from None
    stages = record.get("stages") if isinstance(record, dict) else None
    if not isinstance(stages, list) or not stages:
        raise ValueError(f"{path}: found no stages; expected a list of them under 'stages'")
    return [_stage(stage, number, path, models) for number, stage in enumerate(stages)]


@dataclass(frozen=True)
class _Written:
    """A stage as it stands in the file."""

    name: str
    new: dict[str, Any] | None = None
    start: str | None = None
    layers: int | None = None
    tied: bool | None = None
    settings: dict[str, Any] | None = None


def _stage(record: Any, number: int, path: Path, models: Mapping[str, str]) -> Stage:
    where = f"{path}, stage {number + 1}"
    written = from_plain(_Written, record, where)
    start: NewModel | str | None = None
    if written.new is not None:
        new = from_plain(NewModel, written.new, f"{where}, new")
        start = dataclasses.replace(new, tokenizer_from=_model(str(new.tokenizer_from), models, where))
    elif written.start is not None:
        start = _model(written.start, models, where)
    elif not number:
        raise ValueError(f"{where}: found nothing to start from; expected 'new' or 'start'")
    settings = Settings.from_record(written.settings or {}, f"{where}, settings")
    return Stage(written.name, settings, start, written.layers, written.tied)


def _model(name: str, models: Mapping[str, str], where: str) -> str:
    if not name.startswith("$"):
        return name
    if name[1:] not in models:
        raise ValueError(f"{where}: no model is given for {name}; expected --model {name[1:]}=FOLDER")
    return models[name[1:]]
