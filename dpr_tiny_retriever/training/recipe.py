"""Recipe files: the stages of a pair's training as YAML, for anyone to run again on a copy of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.start import NewModel


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
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    stages = record.get("stages") if isinstance(record, dict) else None
    if not isinstance(stages, list) or not stages:
        raise ValueError(f"{path}: found no stages; expected a list of them under 'stages'")
    return [_stage(stage, number, path, models) for number, stage in enumerate(stages)]


def _stage(record: Any, number: int, path: Path, models: Mapping[str, str]) -> Stage:
    where = f"{path}, stage {number + 1}"
    known = ("name", "new", "start", "layers", "tied", "settings")
    if not isinstance(record, dict) or not isinstance(record.get("name"), str):
        raise ValueError(f"{where}: found {record!r:.80}; expected a name and settings")
    _refuse(record, known, where)
    start: NewModel | str | None = None
    if "new" in record:
        new = dict(record["new"])
        _refuse(new, list(NewModel.__dataclass_fields__), where)
        start = NewModel(**{**new, "tokenizer_from": _model(new["tokenizer_from"], models, where)})
    elif "start" in record:
        start = _model(record["start"], models, where)
    elif not number:
        raise ValueError(f"{where}: found nothing to start from; expected 'new' or 'start'")
    settings = Settings.from_record(record.get("settings", {}), where)
    return Stage(record["name"], settings, start, record.get("layers"), record.get("tied"))


def _model(name: str, models: Mapping[str, str], where: str) -> str:
    if not name.startswith("$"):
        return name
    if name[1:] not in models:
        raise ValueError(f"{where}: no model is given for {name}; expected --model {name[1:]}=FOLDER")
    return models[name[1:]]


def _refuse(record: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [name for name in record if name not in known]
    if unknown:
        raise ValueError(f"{where}: found {', '.join(unknown)}; expected some of {', '.join(known)}")
