"""Recipes: the stages of a pair's training as YAML, for anyone to run again on a copy of the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]
from tqdm.auto import tqdm

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.distillation import Distillation
from dpr_tiny_retriever.training.initialisation import NewModel, load_start, new_pair
from dpr_tiny_retriever.training.options import Run, RunOptions
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.trainer import train
from dpr_tiny_retriever.training.training_data import TrainingData
from dpr_tiny_retriever.training.validated import Positive, Validated, validated
from dpr_tiny_retriever.training.weights import mean_pair, write_bundle
from dpr_tiny_retriever.types import Model


class Stage(Validated, frozen=True, kw_only=True):
    """One run of a recipe. It starts from a new model, a named one (start), or the pair of the stage before.

    A model is an earlier stage, a preset, a folder or a hub id.
    """

    name: str
    data: list[str] | None = None
    """Files to train on; null is what the recipe is run with."""
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

    @property
    def uses_teacher(self) -> bool:
        """Whether a loss of the stage needs a teacher."""
        return any(loss.uses_teacher for loss in self.settings.losses.chosen())


class Mean(Validated, frozen=True, kw_only=True):
    """A stage that takes the mean of the weights of pairs that were trained from one another (Wortsman et al. 2022)."""

    name: str
    mean: dict[str, Positive]
    """The share of each model; together 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isclose(sum(self.mean.values()), 1, abs_tol=1e-6):
            raise ValueError(f"the shares of {self.name} are {[*self.mean.values()]}; expected a sum of 1")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Stages, of which the last makes the pair; with bundle, it is also written as the one folder that ships."""

    stages: Sequence[Stage | Mean]
    bundle: bool = False
    """Also write OUTPUT/bundle: the encoder that both sides share, with its weight matrices quantized to int8."""


def read_recipe(path: Path, named: Mapping[str, str], *, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe; a model or file written as $NAME is looked up in named.

    changes, by dotted names such as "settings.seed", hold for all stages that train. Raises ValueError that names the
    file and what is wrong in it.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: found no YAML: {error}") from None
    stages = record.get("stages") if isinstance(record, dict) else None
    if not isinstance(stages, list) or not stages:
        raise ValueError(f"{path}: found no stages; expected a list of them under 'stages'")
    unknown = record.keys() - {"stages", "bundle"}
    if unknown or not isinstance(record.get("bundle", False), bool):
        found = ", ".join(sorted(unknown)) or f"bundle: {record['bundle']!r}"
        raise ValueError(f"{path}: found {found}; expected 'stages', and 'bundle': true or false")
    read = [make_stage(stage, f"{path}, stage {n + 1}", named, changes or {}) for n, stage in enumerate(stages)]
    if isinstance(read[0], Stage) and read[0].new is None and read[0].start is None:
        raise ValueError(f"{path}, stage 1: found nothing to start from; expected 'new' or 'start'")
    names = [stage.name for stage in read]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: found stages {', '.join(names)}; expected different names")
    return Recipe(read, bundle=record.get("bundle", False))


def make_stage(record: Any, where: str, named: Mapping[str, str], changes: Mapping[str, Any]) -> Stage | Mean:
    """A stage of plain values; raises ValueError that says where and what is wrong."""
    if not isinstance(record, dict):
        return validated(Stage, record, where)
    record = msgspec.to_builtins(record)  # a copy: YAML's anchors share their records
    if isinstance(record.get("mean"), dict):
        record["mean"] = {_looked_up(name, named, where): share for name, share in record["mean"].items()}
        return validated(Mean, record, where)
    change_record(record, changes)
    for holder, name in ((record, "start"), (record.get("new"), "tokenizer_from")):
        if isinstance(holder, dict) and isinstance(holder.get(name), str):
            holder[name] = _looked_up(holder[name], named, where)
    if isinstance(record.get("data"), list):
        record["data"] = [_looked_up(name, named, where) for name in record["data"]]
    return validated(Stage, record, where)


def run_recipe(
    recipe: Recipe,
    data: TrainingData,
    output: Path,
    *,
    distillation: Distillation | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Run the stages one after the other, the last into output, the others into folders of output/training.

    A stage without a loss that needs the teacher is run without. When the recipe was killed, stages that have ended are
    not run again. Returns the last stage that trained, with the recipe's pair.
    """
    options, stages = options or RunOptions(), recipe.stages
    folders = [output / "training" / stage.name for stage in stages[:-1]] + [output]
    made = {stage.name: str(folder) for stage, folder in zip(stages, folders, strict=True)}
    runs = [stage for stage in stages if isinstance(stage, Stage)]
    if not runs:
        raise ValueError("no stage of the recipe trains; expected one at least")
    if distillation is not None and not any(stage.uses_teacher for stage in runs):
        raise ValueError("there is a teacher, and no stage has a loss that asks for it; expected one that does")
    if not data.files and any(stage.data is None for stage in runs):
        raise ValueError("no data is given, and there are stages that name none; expected data for each")
    run: Run | None = None
    before: Model = None
    for number, (stage, folder) in enumerate(zip(stages, folders, strict=True)):
        if len(stages) > 1:
            tqdm.write(f"stage {number + 1} of {len(stages)}: {stage.name}")
        if isinstance(stage, Mean):
            pair = mean_pair({made.get(name, name): share for name, share in stage.mean.items()})
            pair.save_pretrained(folder)
            run = run and dataclasses.replace(run, encoder=pair)
        else:
            start, started_from = _stage_start(stage, before, made)
            files = data.files if stage.data is None else [Path(name) for name in stage.data]
            run = train(
                dataclasses.replace(data, files=files),
                folder,
                start=start,
                settings=stage.settings,
                distillation=distillation if stage.uses_teacher else None,
                options=dataclasses.replace(options, started_from=started_from, reuse_finished=folder != output),
            )
        before = str(folder)
    assert run is not None
    if recipe.bundle:
        write_bundle(run.encoder, output / "bundle")
    for folder in folders[:-1]:
        (folder / "training" / "state.npz").unlink(missing_ok=True)  # so that the recipe, run again, is run anew
    return run


def _stage_start(stage: Stage, before: Model, made: Mapping[str, str]) -> tuple[DualEncoder, str]:
    """The pair that a stage starts from, and what the model card says of it."""
    if stage.new is not None:
        new = stage.new
        shape = f"new: {new.layers} layers, {new.width} wide, {new.heads} heads, words {new.word_embeddings!r}"
        return new_pair(new, seed=stage.settings.seed), shape
    model = before if stage.start is None else made.get(stage.start, stage.start)
    named = "the bundled pair" if model is None else Path(model).name
    return load_start(model, layers=stage.layers, tied=stage.tied), named


def change_record(record: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put values into a record of records, by their dotted names."""
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        holder = record
        for name in path:
            inner = holder.setdefault(name, {})
            if not isinstance(inner, dict):
                inner = holder[name] = {}
            holder = inner
        holder[last] = value


def _looked_up(name: Any, named: Mapping[str, str], where: str) -> Any:
    if not isinstance(name, str) or not name.startswith("$"):
        return name
    if name[1:] not in named:
        raise ValueError(f"{where}: nothing is given for {name}; expected --model {name[1:]}=PATH")
    return named[name[1:]]
