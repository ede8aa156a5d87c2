"""Recipes: the stages of a pair's training as YAML, for anyone to run again on a copy of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml  # type: ignore[import-untyped]
from tqdm.auto import tqdm

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.distillation import Distillation
from dpr_tiny_retriever.training.initialisation import NewModel, load_start, new_pair
from dpr_tiny_retriever.training.options import Extensions, Run, RunOptions
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.trainer import train
from dpr_tiny_retriever.training.training_data import TrainingData
from dpr_tiny_retriever.training.validated import Validated, validated
from dpr_tiny_retriever.types import Model


class Stage(Validated, frozen=True, kw_only=True):
    """One run of a recipe. It starts from a new model, a named one (start), or the pair of the stage before."""

    name: str
    new: NewModel | None = None
    start: str | None = None
    layers: int | None = None
    """Layers that a model which is not new is to have, by new ones on top."""
    tied: bool | None = None
    """One encoder for both sides, or two; null is what the stage starts from. A new model is one encoder."""
    settings: Settings = Settings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new is not None and (self.start is not None or self.layers is not None):
            raise ValueError("found new beside start or layers; expected one or the other")


AnyStage = TypeVar("AnyStage", bound=Stage)


def read_recipe(
    path: Path,
    models: Mapping[str, str],
    *,
    changes: Mapping[str, Any] | None = None,
    kind: type[AnyStage] = Stage,  # type: ignore[assignment]
) -> list[AnyStage]:
    """Read the stages of a recipe; a model written as $NAME is looked up in models.

    changes, by dotted names such as "settings.seed", hold for all stages. Raises ValueError that names the file and
    what is wrong in it.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: found no YAML: {error}") from None
    stages = record.get("stages") if isinstance(record, dict) else None
    if not isinstance(stages, list) or not stages:
        raise ValueError(f"{path}: found no stages; expected a list of them under 'stages'")
    read = [make_stage(stage, f"{path}, stage {n + 1}", models, changes or {}, kind) for n, stage in enumerate(stages)]
    if read[0].new is None and read[0].start is None:
        raise ValueError(f"{path}, stage 1: found nothing to start from; expected 'new' or 'start'")
    return read


def make_stage(
    record: Any, where: str, models: Mapping[str, str], changes: Mapping[str, Any], kind: type[AnyStage]
) -> AnyStage:
    """A stage of plain values; raises ValueError that says where and what is wrong."""
    if isinstance(record, dict):
        record = _changed(record, changes)
        for holder, name in ((record, "start"), (record.get("new"), "tokenizer_from")):
            if isinstance(holder, dict) and isinstance(holder.get(name), str):
                holder[name] = _model(holder[name], models, where)
    return validated(kind, record, where)


def run_recipe(
    stages: Sequence[AnyStage],
    data: TrainingData,
    output: Path,
    *,
    distillation: Distillation | None = None,
    options: RunOptions | None = None,
    extensions: Callable[[AnyStage, Path], Extensions] | None = None,
) -> Run:
    """Run the stages one after the other, the last into output, the others into folders of output/training.

    extensions is asked for what each stage adds, in its folder; a stage without a loss that needs the teacher is run
    without. When the recipe was killed, stages that have ended are not run again.
    """
    options = options or RunOptions()
    folders = [output / "training" / stage.name for stage in stages[:-1]] + [output]
    added = [extensions(*pair) if extensions else Extensions() for pair in zip(stages, folders, strict=True)]
    taught = [
        any(loss.uses_teacher for loss in (*stage.settings.losses.chosen(), *more.losses))
        for stage, more in zip(stages, added, strict=True)
    ]
    if distillation is not None and not any(taught):
        raise ValueError("there is a teacher, and no stage has a loss that asks for it; expected one that does")
    before: Model = None
    for number, (stage, folder, more, teaches) in enumerate(zip(stages, folders, added, taught, strict=True)):
        if len(stages) > 1:
            tqdm.write(f"stage {number + 1} of {len(stages)}: {stage.name}")
        start, started_from = stage_start(stage, before)
        run = train(
            data,
            folder,
            start=start,
            settings=stage.settings,
            distillation=distillation if teaches else None,
            extensions=more,
            options=dataclasses.replace(options, started_from=started_from, reuse_finished=folder != output),
        )
        before = folder
    for folder in folders[:-1]:
        (folder / "training" / "state.npz").unlink(missing_ok=True)  # so that the recipe, run again, is run anew
    return run


def stage_start(stage: Stage, before: Model) -> tuple[DualEncoder, str]:
    """The pair that a stage starts from, and what the model card says of it."""
    if stage.new is not None:
        new = stage.new
        shape = f"new: {new.layers} layers, {new.width} wide, {new.heads} heads, words {new.word_embeddings!r}"
        return new_pair(new, seed=stage.settings.seed), shape
    model = before if stage.start is None else stage.start
    named = "the bundled pair" if model is None else Path(model).name
    return load_start(model, layers=stage.layers, tied=stage.tied), named


def _changed(record: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = msgspec.to_builtins(record)  # a copy: YAML's anchors share their records
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        holder = changed
        for name in path:
            inner = holder.setdefault(name, {})
            if not isinstance(inner, dict):
                inner = holder[name] = {}
            holder = inner
        holder[last] = value
    return changed


def _model(name: str, models: Mapping[str, str], where: str) -> str:
    if not name.startswith("$"):
        return name
    if name[1:] not in models:
        raise ValueError(f"{where}: no model is given for {name}; expected --model {name[1:]}=FOLDER")
    return models[name[1:]]
