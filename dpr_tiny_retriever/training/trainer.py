"""A training run: examples and settings in, a pair folder with its model card out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.dev_evaluation import DevEvaluation
from dpr_tiny_retriever.training.distillation import Distillation
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.fitting import fit
from dpr_tiny_retriever.training.initialisation import is_tied, with_weights
from dpr_tiny_retriever.training.losses import Loss
from dpr_tiny_retriever.training.model_card import write_model_card
from dpr_tiny_retriever.training.optimization import compile_model
from dpr_tiny_retriever.training.options import Run, RunOptions
from dpr_tiny_retriever.training.resumption import RunState
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.teacher_projection import projection
from dpr_tiny_retriever.training.training_data import ReadData, TrainingData, read_data


def train(
    data: TrainingData,
    output: Path,
    *,
    start: DualEncoder,
    settings: Settings | None = None,
    distillation: Distillation | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Train a pair on questions and their passages, and write it into output, a pair folder.

    Where both sides of start are one encoder, they stay one. A killed run goes on when it is started again with the
    same data and settings. Raises DataError for data that cannot be read, ValueError for settings that do not fit
    together; records that cannot be used are logged and counted.
    """
    settings, options = settings or Settings(), options or RunOptions()
    losses = choose_losses(settings, distillation)
    read = read_data(data, start.query_encoder.tokenizer, settings)
    teacher = distillation.teacher(read.examples, start.query_encoder.config.embedding_dim) if distillation else None
    checkpoints = options.checkpoints or output / "training"
    match = settings.losses.embedding_match
    if match is not None and teacher is not None and teacher.components is not None:
        kept = checkpoints / "projection.npz"
        teacher.components = projection(teacher, read.examples, student=start, steps=match.projection_steps, kept=kept)
    maker = BatchMaker(read.examples, settings, teacher)
    model = build_model(start, maker, losses, options.strategy)
    dev = _dev_evaluation(read, maker)
    state = RunState(checkpoints / "state.npz", options, identity=_identity(start, read, maker), dev=dev)
    history = fit(model, maker, state, options)
    pair = _trained_pair(start, model)
    run = Run(pair, model.steps_made, history, dev.scores if dev else [], read.skipped, state.total_seconds)
    pair.save_pretrained(output)
    write_model_card(
        output / "README.md",
        run,
        read,
        maker.settings.named(),
        options,
        teacher=distillation.description() if distillation else None,
        replicas=model.distribute_strategy.num_replicas_in_sync,
    )
    return run


def choose_losses(settings: Settings, distillation: Distillation | None) -> list[Loss]:
    """The losses of a run; raises ValueError where there are none, or where they and the teacher do not fit."""
    losses = settings.losses.chosen()
    if not losses:
        raise ValueError("found no loss; expected one at least, such as losses.contrastive")
    taught = [loss.name for loss in losses if loss.uses_teacher]
    if taught and distillation is None:
        raise ValueError(f"the losses {', '.join(taught)} need a teacher, and there is none; expected distillation")
    if distillation is not None and not taught:
        raise ValueError(
            "there is a teacher, and no loss asks for it; expected losses.embedding_match, losses.kl_divergence or "
            "losses.margin_mse"
        )
    return losses


def build_model(
    start: DualEncoder,
    maker: BatchMaker,
    losses: Sequence[Loss],
    strategy: tf.distribute.Strategy | None = None,
) -> DualEncoderModel:
    """The compiled Keras model; raises ValueError where the replicas cannot share a batch."""
    settings, strategy = maker.settings, strategy or tf.distribute.get_strategy()
    if settings.batches.size % strategy.num_replicas_in_sync:
        raise ValueError(
            f"a batch has {settings.batches.size} questions, and there are {strategy.num_replicas_in_sync} replicas; "
            "expected a batch size that they can share equally"
        )
    with strategy.scope():
        model = DualEncoderModel(start, maker, losses)
        compile_model(model, settings, maker.total_steps)
    return model


def _dev_evaluation(read: ReadData, maker: BatchMaker) -> DevEvaluation | None:
    chosen = maker.settings.evaluation
    if len(read.dev):
        return DevEvaluation(read.dev, every=chosen.every or maker.steps_per_epoch, patience=chosen.patience)
    if chosen.patience is not None:
        raise ValueError("evaluation.patience is set, and there are no dev examples; expected dev data")
    return None


def _identity(start: DualEncoder, read: ReadData, maker: BatchMaker) -> str:
    """A digest of all that decides the weights of a run."""
    parts = (
        start.query_encoder.fingerprint(),
        start.passage_encoder.fingerprint(),
        is_tied(start),
        maker.settings,
        read.examples.digest(),
        read.dev.digest(),
        maker.teacher.digest() if maker.teacher else None,
    )
    return hashlib.blake2b(json.dumps([repr(part) for part in parts]).encode(), digest_size=16).hexdigest()


def _trained_pair(start: DualEncoder, model: DualEncoderModel) -> DualEncoder:
    """The pair of the present weights, cut at the lengths that it was trained with."""
    batches, query, passage = model.settings.batches, model.query_encoder, model.passage_encoder
    weights = query.arrays()
    of_passages = weights if model.tied else passage.arrays()
    return DualEncoder(
        with_weights(start.query_encoder, weights, config=query.config, max_length=batches.max_query_length),
        with_weights(start.passage_encoder, of_passages, config=passage.config, max_length=batches.max_passage_length),
    )
