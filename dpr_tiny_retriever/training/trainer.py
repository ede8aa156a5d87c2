"""A training run: examples and settings in, a pair folder with its model card out."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import msgspec
import tensorflow as tf
from threadpoolctl import threadpool_limits

from dpr_tiny_retriever.data.examples import SkippedRecords
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.model.config import BertWeights
from dpr_tiny_retriever.training.batches import BatchMaker, batch_signature
from dpr_tiny_retriever.training.dev_evaluation import DevEvaluation, DevScore
from dpr_tiny_retriever.training.distillation import Distillation, Teacher
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.initialisation import is_tied, with_weights
from dpr_tiny_retriever.training.losses import Loss
from dpr_tiny_retriever.training.model_card import CardFacts, write_model_card
from dpr_tiny_retriever.training.optimization import compile_model
from dpr_tiny_retriever.training.options import Extensions, RunOptions
from dpr_tiny_retriever.training.resumption import Progress, RunState
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.training.trainable_encoder import TrainableEncoder
from dpr_tiny_retriever.training.training_data import ReadData, TrainingData, read_data


@dataclass(frozen=True)
class Run:
    """What a training run gave."""

    encoder: DualEncoder
    steps: int
    history: dict[str, list[float]]
    dev: list[DevScore]
    skipped: SkippedRecords
    seconds: float


@dataclass(frozen=True)
class _Job:
    """All that a run works with from when its data is read."""

    start: DualEncoder
    read: ReadData
    settings: Settings  # with the batch size that there are examples for
    teacher: Teacher | None
    maker: BatchMaker
    total_steps: int
    strategy: tf.distribute.Strategy
    distillation: Distillation | None
    extensions: Extensions
    options: RunOptions
    output: Path


def train(
    data: TrainingData,
    output: Path,
    *,
    start: DualEncoder,
    settings: Settings | None = None,
    distillation: Distillation | None = None,
    extensions: Extensions | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Train a pair on questions and their passages, and write it into output, a pair folder.

    Where both sides of start are one encoder, they stay one. A killed run goes on when it is started again with the
    same data and settings. Raises DataError for data that cannot be read, ValueError for settings that do not fit
    together; records that cannot be used are logged and counted.
    """
    settings, extensions, options = settings or Settings(), extensions or Extensions(), options or RunOptions()
    losses = choose_losses(settings, extensions, distillation)
    read = read_data(data, start.query_encoder.tokenizer, settings)
    teacher = prepare_teacher(distillation, read.examples, start, extensions)
    if extensions.initialize is not None:
        start = extensions.initialize(start, teacher)
    steps = count_steps(settings, len(read.examples))
    maker = extensions.batch_maker(read.examples, settings, total_steps=steps, teacher=teacher)
    settings = with_batch_size(settings, maker.batch_size)
    strategy = options.strategy or tf.distribute.get_strategy()
    job = _Job(start, read, settings, teacher, maker, steps, strategy, distillation, extensions, options, output)
    model = build_model(start, settings, losses, steps, teacher, strategy, extensions.model)
    state = _run_state(job)
    history = _fit(job, model, state)
    return _publish(job, model, state, history)


def choose_losses(settings: Settings, extensions: Extensions, distillation: Distillation | None) -> list[Loss]:
    """The losses of a run; raises ValueError where there are none, or where they and the teacher do not fit."""
    losses = [*settings.losses.chosen(), *extensions.losses]
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


def prepare_teacher(
    distillation: Distillation | None, examples: ExampleStore, start: DualEncoder, extensions: Extensions
) -> Teacher | None:
    """The teacher's vectors of all texts, and how they are reduced to the student's width."""
    if distillation is None:
        return None
    teacher = distillation.teacher(examples, start.embedding_dim)
    if teacher.components is not None and extensions.projection is not None:
        teacher.components = extensions.projection(teacher, examples, start)
    return teacher


def count_steps(settings: Settings, num_examples: int) -> int:
    """The optimization steps of a run."""
    steps_per_epoch = num_examples // min(settings.batches.size, num_examples)
    return settings.schedule.steps or settings.schedule.epochs * steps_per_epoch


def with_batch_size(settings: Settings, size: int) -> Settings:
    """The settings with a batch size that there are examples for."""
    return msgspec.structs.replace(settings, batches=msgspec.structs.replace(settings.batches, size=size))


def build_model(
    start: DualEncoder,
    settings: Settings,
    losses: Sequence[Loss],
    total_steps: int,
    teacher: Teacher | None = None,
    strategy: tf.distribute.Strategy | None = None,
    model_type: Callable[..., DualEncoderModel] = DualEncoderModel,
) -> DualEncoderModel:
    """The compiled Keras model; raises ValueError where the replicas cannot share a batch."""
    strategy = strategy or tf.distribute.get_strategy()
    if settings.batches.size % strategy.num_replicas_in_sync:
        raise ValueError(
            f"a batch has {settings.batches.size} questions, and there are {strategy.num_replicas_in_sync} replicas; "
            "expected a batch size that they can share equally"
        )
    with strategy.scope():
        query, passage = (
            TrainableEncoder(encoder.config, encoder.weights, compute_dtype=settings.precision, name=name)
            for name, encoder in (("query", start.query_encoder), ("passage", start.passage_encoder))
        )
        model = model_type(
            query,
            query if is_tied(start) else passage,
            settings,
            losses,
            similarity=start.similarity,
            teacher_similarity=teacher.similarity if teacher else "cosine",
        )
        compile_model(model, settings, total_steps)
    return model


def _run_state(job: _Job) -> RunState:
    """The callback that keeps the run's state, with its dev evaluation."""
    settings, read, options = job.settings, job.read, job.options
    dev = None
    if len(read.dev):
        every = settings.evaluation.every or job.maker.steps_per_epoch
        dev = DevEvaluation(read.dev, every=every, patience=settings.evaluation.patience)
    elif settings.evaluation.patience is not None:
        raise ValueError("evaluation.patience is set, and there are no dev examples; expected dev data")
    parts = (
        job.start.query_encoder.fingerprint(),
        job.start.passage_encoder.fingerprint(),
        is_tied(job.start),
        settings,
        dict(job.extensions.settings),
        read.examples.digest(),
        read.dev.digest(),
        job.teacher.digest() if job.teacher else None,
    )
    return RunState(
        (options.checkpoints or job.output / "training") / "state.npz",
        minutes=options.checkpoint_minutes,
        every=options.checkpoint_every,
        identity=hashlib.blake2b(json.dumps([repr(part) for part in parts]).encode(), digest_size=16).hexdigest(),
        dev=dev,
    )


def _fit(job: _Job, model: DualEncoderModel, state: RunState) -> dict[str, list[float]]:
    """Keras' fit from where an unfinished run is; a Keras epoch has as many steps as one of the data."""
    options, maker, total = job.options, job.maker, job.total_steps
    done = state.restore(model, total, reuse_finished=options.reuse_finished) if options.resume else 0
    callbacks: list[keras.callbacks.Callback] = [
        # Dev evaluation before the state is saved: the state then holds the evaluation of its step.
        *([state.dev] if state.dev else []),
        state,
        Progress(total, done, show_progress=options.show_progress),
        *([keras.callbacks.TensorBoard(str(options.tensorboard), update_freq=10)] if options.tensorboard else []),
        *options.callbacks,
    ]
    if done >= total:
        nothing = keras.callbacks.CallbackList(callbacks, model=model)
        nothing.on_train_begin()
        nothing.on_train_end()
        return {}
    # Without an end: Progress stops at the last step, wherever in an epoch that is.
    dataset = tf.data.Dataset.from_generator(
        lambda: (maker.batch(step) for step in itertools.count(done)),
        output_signature=batch_signature(maker.batch(done)),
    ).prefetch(2)
    if job.strategy.num_replicas_in_sync > 1:
        sharding = tf.data.Options()
        sharding.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = dataset.with_options(sharding)
    # Batches are made in numpy beside TensorFlow's work: several threads of its BLAS would wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = model.fit(
            dataset,
            steps_per_epoch=maker.steps_per_epoch,
            epochs=math.ceil(total / maker.steps_per_epoch),
            initial_epoch=done // maker.steps_per_epoch,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )
    history: dict[str, list[float]] = fitted.history
    return history


def _publish(job: _Job, model: DualEncoderModel, state: RunState, history: dict[str, list[float]]) -> Run:
    """Write the pair, cut at the lengths that it was trained with, and its model card."""
    batches, start = job.settings.batches, job.start

    def trained(encoder: TrainableEncoder, weights: BertWeights, source: Encoder, length: int) -> Encoder:
        return with_weights(source, weights, config=encoder.config, max_length=length)

    weights = model.query_encoder.arrays()
    of_passages = weights if model.tied else model.passage_encoder.arrays()
    pair = DualEncoder(
        trained(model.query_encoder, weights, start.query_encoder, batches.max_query_length),
        trained(model.passage_encoder, of_passages, start.passage_encoder, batches.max_passage_length),
    )
    scores = state.dev.scores if state.dev else []
    run = Run(pair, model.steps_made, history, scores, job.read.skipped, state.total_seconds)
    pair.save_pretrained(job.output)
    facts = CardFacts(
        pair=pair,
        settings={**job.settings.named(), **job.extensions.settings},
        read=job.read,
        dev_scores=scores,
        steps=run.steps,
        seconds=run.seconds,
        replicas=job.strategy.num_replicas_in_sync,
        started_from=job.options.started_from,
        teacher=job.distillation.description() if job.distillation else None,
        license=job.options.license,
    )
    write_model_card(job.output / "README.md", facts)
    return run
