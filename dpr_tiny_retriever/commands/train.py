"""The command `dpr-tiny train`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dpr_tiny_retriever.training.distillation import Distillation

_MODEL_HELP = "A preset, folder or hub id; without it the bundled pair."


def train(
    data: Annotated[list[Path], typer.Argument(help="DPR JSON, JSON lines (plain or .gz) or BEIR folders.")],
    output: Annotated[Path, typer.Option(help="The pair folder to write; a killed run goes on from it.")],
    recipe: Annotated[
        Path | None, typer.Option(help="A YAML file of stages; settings beside it hold for all of them.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--model", help="NAME=FOLDER, for $NAME in the recipe. May be repeated.")
    ] = None,
    start: Annotated[str | None, typer.Option(help=f"Train on this model. {_MODEL_HELP}")] = None,
    new: Annotated[
        str | None, typer.Option(help="Instead: a new model with the vocabulary of this preset, folder or hub id.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Layers of a new model (2), or to put more on top of --start.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of a new model (128).")] = None,
    heads: Annotated[int | None, typer.Option(help="Heads of a new model (2).")] = None,
    words: Annotated[
        str | None, typer.Option(help="Word embeddings of a new model: random, table (the default) or vectors.")
    ] = None,
    tied: Annotated[bool | None, typer.Option(help="One encoder for both sides (without it, as --start is).")] = None,
    dev: Annotated[list[Path] | None, typer.Option(help="Data to evaluate on while training. May be repeated.")] = None,
    split: Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")] = "train",
    teacher: Annotated[str | None, typer.Option(help="A preset, folder or hub id to distil.")] = None,
    teacher_vectors: Annotated[Path | None, typer.Option(help="Instead: a folder of given vectors.")] = None,
    teacher_cache: Annotated[
        Path | None, typer.Option(help="Where a teacher's vectors are kept; without it OUTPUT/training/teacher.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, any setting of dpr_tiny_retriever.training.Settings. May be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times over the data.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Questions in a global batch.")] = None,
    hard_negatives: Annotated[int | None, typer.Option(help="Hard negatives of each question in a batch.")] = None,
    chunk_size: Annotated[int | None, typer.Option(help="Gradient caching: texts encoded at once.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    replicas: Annotated[int, typer.Option(help="Logical devices to mirror over: GPUs where there are, else CPUs.")] = 1,
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for TensorBoard.")] = None,
    licence: Annotated[str | None, typer.Option(help="The licence that the model card states.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from a checkpoint in OUTPUT.")] = True,
) -> None:
    """Train a pair on questions and their passages, with or without a teacher."""
    from dpr_tiny_retriever.training import Distillation, NewModel, Settings, load_start
    from dpr_tiny_retriever.training import train as run

    short = {
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "hard_negatives": hard_negatives,
        "chunk_size": chunk_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
    }
    chosen = _named_values(option or [])
    chosen |= {name: value for name, value in short.items() if value is not None}
    shape = {"layers": layers, "width": width, "heads": heads, "words": words}
    shape = {name: value for name, value in shape.items() if value is not None}
    if teacher is not None and teacher_vectors is not None:
        raise ValueError("found --teacher and --teacher-vectors; expected one of them")
    if new is not None and start is not None:
        raise ValueError("found --new and --start; expected one of them")
    if recipe is not None and (new or start or shape or tied is not None):
        raise ValueError("found --recipe and a model to train beside it; expected one or the other")
    if recipe is None and given:
        raise ValueError("found --model without --recipe; expected --start for the model to train on")
    if recipe is None and new is None and shape.keys() - {"layers"}:
        raise ValueError(f"found {', '.join(f'--{name}' for name in shape)} without --new; expected a new model")
    settings = Settings.from_record(chosen, "the options")
    common: dict[str, Any] = {
        "dev": dev or (),
        "split": split,
        "strategy": _strategy(replicas),
        "tensorboard": tensorboard,
        "resume": resume,
        "licence": licence,
    }
    distillation = None
    if teacher_vectors is not None:
        distillation = Distillation(given=teacher_vectors)
    elif teacher is not None:
        cache = teacher_cache or output / "training" / "teacher"
        distillation = Distillation(encoder=load_start(teacher), cache=cache)
    if recipe is not None:
        replaced = {name: getattr(settings, name) for name in chosen}
        _run_recipe(data, output, recipe, given or [], distillation, common, replaced)
        return
    model: NewModel | str | None = start
    if new is not None:
        model = NewModel(new, **shape)  # type: ignore[arg-type]
    done = run(
        data,
        output,
        start=model,
        layers=None if new is not None else layers,
        tied=True if new is not None and tied is None else tied,
        settings=settings,
        distillation=distillation,
        **common,
    )
    typer.echo(f"{output}: {done.steps} steps, {done.broken.count} records left out")


def _run_recipe(
    data: Sequence[Path],
    output: Path,
    recipe: Path,
    given: Sequence[str],
    distillation: Distillation | None,
    common: dict[str, Any],
    replaced: Mapping[str, Any],
) -> None:
    from dpr_tiny_retriever.training import train as run
    from dpr_tiny_retriever.training.recipe import read_recipe

    stages = read_recipe(recipe, dict(_split(pair) for pair in given))
    if distillation is not None and not any(stage.settings.distils for stage in stages):
        raise ValueError(f"there is a teacher, and {recipe} has no stage that asks for it; expected one that distils")
    before: Path | None = None
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        folder = output if last else output / "training" / stage.name
        typer.echo(f"stage {number + 1} of {len(stages)}: {stage.name}")
        run(
            data,
            folder,
            start=stage.start if stage.start is not None else before,
            layers=stage.layers,
            tied=stage.tied,
            settings=dataclasses.replace(stage.settings, **replaced),
            distillation=distillation if stage.settings.distils else None,
            **common,
        )
        before = folder


def _named_values(options: Sequence[str]) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        return {name: yaml.safe_load(value) for name, value in map(_split, options)}
    except yaml.YAMLError:
        raise ValueError(
            f"found {', '.join(options)}; expected a number, a text, true, false or null behind each ="
        ) from None


def _split(option: str) -> tuple[str, str]:
    name, separator, value = option.partition("=")
    if not separator:
        raise ValueError(f"found {option!r}; expected NAME=VALUE")
    return name, value


def _strategy(replicas: int) -> Any:
    if replicas < 1:
        raise ValueError(f"replicas is {replicas}; expected 1 or more")
    if replicas == 1:
        return None
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":
        device = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * replicas)
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(replicas)])
