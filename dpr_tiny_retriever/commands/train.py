"""The command `dpr-tiny train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.commands import train_options as options
from dpr_tiny_retriever.commands.console import say
from dpr_tiny_retriever.commands.train_query_side import train_query_side_only
from dpr_tiny_retriever.types import BackendName

if TYPE_CHECKING:
    from dpr_tiny_retriever.training import Distillation, Recipe

#: What `--set` names of a stage; all other names are those of its settings.
_OF_STAGE = ("new", "layers", "tied")


def train(
    *,
    data: options.Data = None,
    output: options.Output,
    start: options.Start = None,
    new: options.New = None,
    recipe: options.Recipe = None,
    model: options.RecipeModels = None,
    option: options.Values = None,
    dev: options.Dev = None,
    split: options.Split = "train",
    teacher: options.Teacher = None,
    backend: options.TeacherBackend = "auto",
    threads: options.TeacherThreads = None,
    replicas: options.Replicas = 1,
    tensorboard: options.TensorBoard = None,
    license: options.License = None,
    resume: options.Resume = True,
    query_side_only: options.QuerySideOnly = False,
    passage_model: options.PassageModel = None,
) -> None:
    """Train a pair on questions and their passages, with or without a teacher; or a query encoder alone."""
    if query_side_only or passage_model is not None:
        _refuse_with_query_side(
            {"--new": new, "--recipe": recipe, "--model": model, "--dev": dev, "--replicas": replicas > 1},
            query_side_only,
        )
        others = (backend, threads, tensorboard, license, resume)
        train_query_side_only(data or (), output, passage_model, start, named_values(option), teacher, *others)
        return
    from dpr_tiny_retriever.training import RunOptions, TrainingData, run_recipe
    from dpr_tiny_retriever.training.devices import mirrored

    chosen = _recipe(start, new, recipe, named_texts(model), named_values(option))
    # Before the teacher is loaded: TensorFlow's devices can be divided only until it begins to work.
    run_options = RunOptions(strategy=mirrored(replicas), tensorboard=tensorboard, license=license, resume=resume)
    run = run_recipe(
        chosen,
        TrainingData(data or (), dev=dev or (), split=split),
        output,
        distillation=distillation_from(teacher, output, backend, threads),
        options=run_options,
    )
    say(f"{output}: {run.steps} steps, {run.skipped.count} records skipped")


def _refuse_with_query_side(given: Mapping[str, object], query_side_only: bool) -> None:
    if not query_side_only:
        raise ValueError("found --passage-model without --query-side-only; expected --teacher to distil a pair")
    found = [name for name, value in given.items() if value]
    if found:
        raise ValueError(f"found {' and '.join(found)} with --query-side-only; expected --start alone to start from")


def _recipe(
    start: str | None, new: str | None, recipe: Path | None, named: dict[str, str], values: dict[str, Any]
) -> Recipe:
    """The recipe of the file, or one of the stage that the options describe."""
    from dpr_tiny_retriever.training.recipe import Recipe, make_stage, read_recipe

    given = [name for name, value in (("--start", start), ("--new", new), ("--recipe", recipe)) if value is not None]
    if len(given) > 1:
        raise ValueError(f"found {' and '.join(given)}; expected one of them")
    if named and recipe is None:
        raise ValueError("found --model without --recipe; expected --start for the model to train on")
    of_stage = {name: value for name, value in values.items() if name.partition(".")[0] in _OF_STAGE}
    changes = {f"settings.{name}": value for name, value in values.items() if name not in of_stage}
    if recipe is not None:
        if of_stage:
            raise ValueError(f"found --recipe and --set {', '.join(of_stage)}; expected the recipe to say what starts")
        return read_recipe(recipe, named, changes=changes)
    if new is None and any(name.startswith("new.") for name in of_stage):
        raise ValueError(f"found --set {', '.join(of_stage)} without --new; expected a new model")
    record: dict[str, Any] = {"name": "train", "start": start}
    if new is not None:
        record = {"name": "train", "new": {"tokenizer_from": new}}
    return Recipe([make_stage(record, "the options", {}, of_stage | changes)])


def distillation_from(
    teacher: str | None, output: Path, backend: BackendName = "auto", threads: int | None = None
) -> Distillation | None:
    """The teacher of a run: a folder of vectors, or a model whose vectors are kept beside the run's state."""
    from dpr_tiny_retriever import DualEncoder
    from dpr_tiny_retriever.training import Distillation

    if teacher is None:
        return None
    if any((Path(teacher) / name).is_file() for name in ("texts.jsonl", "texts.jsonl.gz")):
        return Distillation(precomputed=Path(teacher))
    encoder = DualEncoder.from_pretrained(teacher, backend=backend, threads=threads)
    return Distillation(encoder=encoder, cache=output / "training" / "teacher")


def named_values(options: Sequence[str] | None) -> dict[str, Any]:
    """NAME=VALUE options, values as YAML reads them."""
    import yaml  # type: ignore[import-untyped]

    try:
        return {name: yaml.safe_load(value) for name, value in named_texts(options).items()}
    except yaml.YAMLError:
        raise ValueError(
            f"found {', '.join(options or ())}; expected a number, a text, true, false or null behind each ="
        ) from None


def named_texts(options: Sequence[str] | None) -> dict[str, str]:
    """NAME=VALUE options as they are."""
    pairs = [option.partition("=") for option in options or ()]
    wrong = [name for name, separator, _ in pairs if not separator]
    if wrong:
        raise ValueError(f"found {wrong[0]!r}; expected NAME=VALUE")
    return {name: value for name, _, value in pairs}
