"""Run one of the recipes of the bundled pair: the package's training, with what this pair alone needed.

    python recipes/train_bundled.py DATA... --recipe recipes/bundled.yaml --output PAIR --teacher MODEL \
        --model NAME=FOLDER

The stages are those of `dpr-tiny train --recipe`, with `extras` beside their settings.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from bundled_batches import BatchExtras, BundledBatches
from bundled_losses import BlendedKLDivergence, QueuedContrastive, QueueModel
from teacher_projection import projection

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.commands.train import distillation_from, named_texts, named_values
from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.model.bert_tensorflow import forward
from dpr_tiny_retriever.training import Extensions, Stage, Teacher, TrainingData, read_recipe, run_recipe
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.initialisation import principal_words, with_weights
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.training.validated import CountOrZero, Validated
from dpr_tiny_retriever.types import Vectors

_PIECES_AT_ONCE = 2048


class Extras(Validated, frozen=True, kw_only=True):
    """What a stage of the bundled pair has beside the package's settings."""

    contrastive: QueuedContrastive
    kl_divergence: BlendedKLDivergence
    batches: BatchExtras = BatchExtras()
    projection_steps: CountOrZero = 0
    """Steps in which the teacher's projection, principal components at first, learns to rank as the teacher does."""
    word_vectors: bool = False
    """Begin with what the model that a new one has its vocabulary from makes of each word piece alone."""


class BundledStage(Stage, frozen=True, kw_only=True):
    """A stage with its extras."""

    extras: Extras


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--teacher", required=True, help="a model, or a folder of its vectors")
    parser.add_argument("--model", action="append", metavar="NAME=FOLDER", help="for $NAME in the recipe")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="settings.seed=1, extras.batches.topics=2")
    options = parser.parse_args(arguments)
    stages = read_recipe(
        options.recipe, named_texts(options.model), changes=named_values(options.set), kind=BundledStage
    )
    run_recipe(
        stages,
        TrainingData(options.data),
        options.output,
        distillation=distillation_from(options.teacher, options.output),
        extensions=extensions,
    )


def extensions(stage: BundledStage, folder: Path) -> Extensions:
    """What a stage adds to the package's training."""
    extras = stage.extras
    queue = extras.batches.queue

    def initialize(start: DualEncoder, examples: ExampleStore, teacher: Teacher | None) -> DualEncoder:
        if teacher is not None and teacher.components is not None:
            student = None if stage.new is not None else start
            kept = folder / "training" / "projection.npz"
            steps = extras.projection_steps
            teacher.components = projection(teacher, examples, student=student, steps=steps, kept=kept)
        return with_word_vectors(start, stage, teacher) if extras.word_vectors else start

    return Extensions(
        losses=[extras.contrastive, extras.kl_divergence],
        batch_maker=functools.partial(BundledBatches, extras=extras.batches),
        model=functools.partial(QueueModel, queue=queue) if queue else DualEncoderModel,
        initialize=initialize,
        settings={"extras": msgspec.to_builtins(extras)},
    )


def with_word_vectors(start: DualEncoder, stage: Stage, teacher: Teacher | None) -> DualEncoder:
    """A new pair whose word embeddings are vectors of words, so that a bag of words already ranks somewhat."""
    if stage.new is None:
        raise ValueError(f"stage {stage.name} has word_vectors, and starts from a trained model; expected 'new'")
    source = Encoder.from_pretrained(stage.new.tokenizer_from, side="passage")
    components = teacher.components if teacher else None
    words = principal_words(token_vectors(source), stage.new.width, components=components)
    weights = start.passage_encoder.weights
    weights = weights._replace(embeddings=weights.embeddings._replace(word=words))
    encoder = with_weights(start.passage_encoder, weights)
    return DualEncoder(encoder, encoder)


def token_vectors(source: Encoder) -> Vectors:
    """The vector [vocab_size, t] of each word piece between the special tokens."""
    size, tokenizer = source.config.vocab_size, source.tokenizer
    columns = [np.full(size, tokenizer.cls_id), np.arange(size), np.full(size, tokenizer.sep_id)]
    ids = np.stack(columns, axis=1).astype(np.int32)
    lengths = np.full(_PIECES_AT_ONCE, 3, np.int32)
    parts = [ids[at : at + _PIECES_AT_ONCE] for at in range(0, size, _PIECES_AT_ONCE)]
    batches = [TokenBatch(part, lengths[: len(part)], lengths[: len(part)]) for part in parts]
    vectors: Vectors = np.concatenate([np.asarray(forward(source.weights, source.config, batch)) for batch in batches])
    return vectors


if __name__ == "__main__":
    main()
