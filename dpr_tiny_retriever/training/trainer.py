"""A training run: examples and settings in, a pair folder with its model card out."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.data.examples import Broken, read_examples
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.callbacks import Checkpoints, DevEvaluation, DevScore, Progress
from dpr_tiny_retriever.training.card import DataUsed, write_card
from dpr_tiny_retriever.training.distillation import Distillation, Teacher
from dpr_tiny_retriever.training.dual_encoder_model import PairModel
from dpr_tiny_retriever.training.initialisation import NewModel, load_start, new_pair
from dpr_tiny_retriever.training.projection import projection
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore, TextStore
from dpr_tiny_retriever.training.trainable_encoder import Tower

_TEACHER_TEMPERATURE = {"cosine": 0.05, "dot": 1.0}


@dataclass(frozen=True)
class Run:
    """What a training run gave."""

    encoder: DualEncoder
    steps: int
    history: dict[str, list[float]]
    dev: list[DevScore]
    broken: Broken
    seconds: float


def train(
    data: Sequence[Path],
    output: Path,
    *,
    start: DualEncoder | str | os.PathLike[str] | NewModel | None = None,
    layers: int | None = None,
    tied: bool | None = None,
    settings: Settings | None = None,
    dev: Sequence[Path] = (),
    dev_share: float = 0.0,
    titles: bool = True,
    split: str = "train",
    distillation: Distillation | None = None,
    strategy: tf.distribute.Strategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: Path | None = None,
    max_examples: int | None = None,
    checkpoints: Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    licence: str | None = None,
    show_progress: bool = True,
) -> Run:
    """Train a pair on DPR JSON files, JSON lines or BEIR folders, and write it into output, a pair folder.

    start: a model to train on (None: the bundled pair), or a NewModel; layers puts new ones on top. tied None keeps
    one encoder for both sides where start has one. dev_share of the examples, drawn at random, are evaluated on
    instead of trained on; titles=False leaves the titles of passages out; split names the qrels of BEIR folders.
    callbacks are Keras callbacks, called beside the run's own. A killed run goes on from its checkpoint, in
    output/training or the folder checkpoints, when started again with the same data and settings; resume=False
    starts anew. Raises DataError for data that cannot be read, ValueError for settings that do not fit together;
    records that cannot be used are logged and counted.
    """
    settings = settings or Settings()
    if settings.distils and distillation is None:
        raise ValueError("the settings ask for a teacher, and there is none; expected distillation")
    if distillation is not None and not settings.distils:
        raise ValueError(
            "there is a teacher, and no setting asks for it; expected match_weight, kl_weight or margin_weight above 0"
        )
    if not 0 <= dev_share < 1:
        raise ValueError(f"dev_share is {dev_share}; expected 0 or more, and less than 1")
    strategy = strategy or tf.distribute.get_strategy()
    broken = Broken()
    loaded = None if isinstance(start, NewModel) else _loaded(start, layers)
    tokenizer = (loaded.query_encoder if loaded else Encoder.from_pretrained(_source(start), side="query")).tokenizer
    stores = TextStore(tokenizer, settings.max_query_length), TextStore(tokenizer, settings.max_passage_length)
    examples = ExampleStore(*stores)
    dev_examples = ExampleStore(
        TextStore(tokenizer, settings.max_query_length), TextStore(tokenizer, settings.max_passage_length)
    )
    read = _Reader(broken, titles=titles, limit=max_examples)
    draw = np.random.default_rng([settings.seed, 1 << 33])
    used = [read(path, split, lambda: dev_examples if draw.random() < dev_share else examples) for path in data]
    dev_used = [read(path, "dev" if split == "train" else split, lambda: dev_examples) for path in dev]
    if not len(examples):
        names = ", ".join(str(path) for path in data) or "no files"
        raise ValueError(f"found no examples in {names}; expected at least one question with a passage")
    teacher: Teacher | None = None
    width = loaded.embedding_dim if loaded else _new(start).width
    if distillation is not None:
        teacher = distillation.teacher(examples, width)
        if teacher.components is not None and (settings.match_weight or settings.projection_steps):
            teacher.reduce_by(
                projection(
                    teacher,
                    examples,
                    student=loaded,
                    steps=settings.projection_steps,
                    temperature=_TEACHER_TEMPERATURE[teacher.similarity],
                    kept=(checkpoints or output / "training") / "projection.npz",
                )
            )
    if loaded is None:
        loaded = new_pair(_new(start), components=teacher.components if teacher else None, seed=settings.seed)
    if tied is None:
        tied = loaded.query_encoder.weights is loaded.passage_encoder.weights
    steps_per_epoch = max(len(examples) // min(settings.batch_size, max(len(examples), 1)), 1)
    total = settings.steps or settings.epochs * steps_per_epoch
    maker = BatchMaker(examples, settings, total=total, teacher=teacher)
    settings = dataclasses.replace(settings, batch_size=maker.batch_size)
    if settings.batch_size % strategy.num_replicas_in_sync:
        raise ValueError(
            f"a batch has {settings.batch_size} of the {len(examples)} questions, and there are "
            f"{strategy.num_replicas_in_sync} replicas; expected a batch_size that they can share equally"
        )
    model = compiled_model(loaded, tied, settings, total, teacher, strategy)

    dev_evaluation = None
    if len(dev_examples):
        every = settings.evaluate_every or maker.steps_per_epoch
        dev_evaluation = DevEvaluation(dev_examples, every=every, patience=settings.patience)
    elif settings.patience is not None:
        raise ValueError("patience is set, and there are no dev examples; expected dev")
    shared = [settings, tied, examples.digest(), dev_examples.digest(), teacher.digest() if teacher else None]
    keeper = Checkpoints(
        (checkpoints or output / "training") / "state.npz",
        minutes=settings.checkpoint_minutes,
        every=checkpoint_every,
        identity=_identity(loaded, *shared),
        dev=dev_evaluation,
    )
    done = keeper.restore(model, total) if resume else 0
    history = _fit(
        model,
        maker,
        done,
        total,
        strategy,
        [
            # Dev evaluation before checkpoints: a checkpoint then holds the evaluation of its step.
            *([dev_evaluation] if dev_evaluation else []),
            keeper,
            Progress(total, done, shown=show_progress),
            *([keras.callbacks.TensorBoard(str(tensorboard), update_freq=10)] if tensorboard else []),
            *callbacks,
        ],
    )
    pair = _trained(model, loaded, settings)
    scores = dev_evaluation.scores if dev_evaluation else []
    run = Run(pair, model.steps_made, history, scores, broken, keeper.total_seconds)
    pair.save_pretrained(output)
    write_card(
        output / "README.md",
        pair=pair,
        tied=tied,
        settings=settings,
        start=_named(start),
        teacher=_teacher_named(distillation) if teacher else None,
        data=used,
        dev_data=dev_used,
        dev=scores,
        broken=broken,
        steps=run.steps,
        seconds=run.seconds,
        num_truncated=(examples.queries.num_truncated, examples.passages.num_truncated),
        replicas=strategy.num_replicas_in_sync,
        licence=licence,
        versions={"dpr-tiny-retriever": __version__, "TensorFlow": tf.__version__, "Python": platform.python_version()},
    )
    return run


class _Reader:
    """Reads examples into stores, and notes what was read."""

    def __init__(self, broken: Broken, *, titles: bool, limit: int | None) -> None:
        self.broken, self.titles, self.limit = broken, titles, limit

    def __call__(self, path: Path, split: str, store: Callable[[], ExampleStore]) -> DataUsed:
        count, left_out, digest = 0, self.broken.count, hashlib.sha256()
        for example in itertools.islice(read_examples(path, split=split, broken=self.broken), self.limit):
            store().add(example if self.titles else example.without_titles())
            count += 1
            digest.update(repr(example).encode())
        return DataUsed(path.name, count, self.broken.count - left_out, digest.hexdigest())


def _loaded(start: Any, layers: int | None) -> DualEncoder:
    if isinstance(start, DualEncoder):
        return start
    return load_start(start, layers=layers)


def _new(start: Any) -> NewModel:
    assert isinstance(start, NewModel)
    return start


def _source(start: Any) -> Any:
    return start.tokenizer_from if isinstance(start, NewModel) else start


def compiled_model(
    pair: DualEncoder,
    tied: bool,
    settings: Settings,
    total: int,
    teacher: Teacher | None,
    strategy: tf.distribute.Strategy,
) -> PairModel:
    """The compiled Keras model."""
    warmup = math.ceil(settings.warmup * total) if settings.warmup_steps is None else settings.warmup_steps
    with strategy.scope():
        towers = [
            Tower(
                encoder.config,
                encoder.weights,
                compute_dtype=settings.precision,
                words_only=settings.words_only,
                name=name,
            )
            for name, encoder in (("query", pair.query_encoder), ("passage", pair.passage_encoder))
        ]
        model = PairModel(
            towers[0],
            towers[0] if tied else towers[1],
            settings,
            similarity=pair.similarity,
            temperature=settings.temperature or (0.05 if pair.similarity == "cosine" else 1.0),
            teacher_temperature=_TEACHER_TEMPERATURE[teacher.similarity] if teacher else 1.0,
        )
        replicas = strategy.num_replicas_in_sync
        optimizer: Any = keras.optimizers.AdamW(
            learning_rate=WarmUp(settings.learning_rate, total, warmup),
            weight_decay=settings.weight_decay,
            beta_2=settings.beta_2,
            epsilon=settings.epsilon,
            # The optimiser sees each replica's equal share of the summed gradient.
            global_clipnorm=settings.clip_norm and settings.clip_norm / replicas,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "norm"])
        if settings.precision == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer=optimizer)
        optimizer.build(model.trainable_variables)
    return model


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that rises linearly over the first steps, then falls linearly to zero at the last."""

    def __init__(self, peak: float, total: int, warmup: int) -> None:
        self.peak, self.total, self.warmup = peak, total, warmup

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.total - step) / max(self.total - self.warmup, 1)
        return self.peak * tf.clip_by_value(tf.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras asks for them."""
        return {"peak": self.peak, "total": self.total, "warmup": self.warmup}


def _fit(
    model: PairModel,
    maker: BatchMaker,
    done: int,
    total: int,
    strategy: tf.distribute.Strategy,
    callbacks: list[keras.callbacks.Callback],
) -> dict[str, list[float]]:
    """Keras' fit from step `done` on; a Keras epoch has as many steps as one of the data."""
    if done >= total:
        nothing = keras.callbacks.CallbackList(callbacks, model=model)
        nothing.on_train_begin()
        nothing.on_train_end()
        return {}
    example = maker.batch(done)
    signature = {
        name: tf.TensorSpec(_open_shape(name, array.shape), tf.as_dtype(array.dtype)) for name, array in example.items()
    }
    # Without an end: Progress stops at the last step, wherever in an epoch that is.
    dataset = tf.data.Dataset.from_generator(
        lambda: (maker.batch(step) for step in itertools.count(done)), output_signature=signature
    ).prefetch(2)
    if strategy.num_replicas_in_sync > 1:
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = dataset.with_options(options)
    # Batches are made in numpy beside TensorFlow's work: several threads of its BLAS would wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        found = model.fit(
            dataset,
            steps_per_epoch=maker.steps_per_epoch,
            epochs=math.ceil(total / maker.steps_per_epoch),
            initial_epoch=done // maker.steps_per_epoch,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )
    history: dict[str, list[float]] = found.history
    return history


def _open_shape(name: str, shape: tuple[int, ...]) -> list[int | None]:
    """The shape without the lengths that differ from batch to batch: of texts, and of what is known."""
    if name in ("query_ids", "passage_ids", "known_rows"):
        return [*shape[:-1], None]
    return list(shape)


def _trained(model: PairModel, start: DualEncoder, settings: Settings) -> DualEncoder:
    """The pair with the trained weights, cut at the lengths that it was trained with."""

    def encoder(tower: Tower, source: Encoder, length: int) -> Encoder:
        return Encoder(
            tower.config,
            tower.arrays(),
            source.tokenizer,
            max_length=min(length, tower.config.max_position_embeddings),
            similarity=source.similarity,
        )

    query = encoder(model.query_tower, start.query_encoder, settings.max_query_length)
    if model.tied:
        longest = min(settings.max_passage_length, query.config.max_position_embeddings)
        return DualEncoder(query, query.with_max_length(longest))
    return DualEncoder(query, encoder(model.passage_tower, start.passage_encoder, settings.max_passage_length))


def _identity(pair: DualEncoder, *parts: Any) -> str:
    sides = [encoder.fingerprint() for encoder in (pair.query_encoder, pair.passage_encoder)]
    return hashlib.blake2b(json.dumps([*sides, *map(repr, parts)]).encode(), digest_size=16).hexdigest()


def _named(start: Any) -> str:
    if isinstance(start, NewModel):
        return f"new: {start.layers} layers, {start.width} wide, {start.heads} heads, words {start.words!r}"
    return (
        Path(start).name
        if isinstance(start, (str, os.PathLike))
        else "a pair in memory"
        if start
        else "the bundled pair"
    )


def _teacher_named(distillation: Distillation | None) -> str:
    if distillation is None or distillation.encoder is None:
        return "given vectors"
    encoder = distillation.encoder.query_encoder
    return f"vectors of {encoder.embedding_dim} numbers by the model with the digest {encoder.fingerprint()[:12]}"
