"""Gradients: in chunks as at once, on two devices as on one, and those that dropout repeats."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import (
    Batches,
    Contrastive,
    Distillation,
    EmbeddingMatch,
    KLDivergence,
    MarginMSE,
    Regularization,
    Settings,
    read_examples,
)
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.initialisation import with_weights
from dpr_tiny_retriever.training.losses import Loss
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.training.trainer import build_model
from dpr_tiny_retriever.types import Pooling

pytestmark = pytest.mark.training

BATCHES = Batches(size=7, hard_negatives=1, max_query_length=16, max_passage_length=32)
CONTRASTIVE = [Contrastive()]
EVERY_LOSS = [Contrastive(symmetric=True), EmbeddingMatch(weight=2.0), KLDivergence(), MarginMSE(weight=0.5)]


def settings_of(
    *, dropout: float = 0.0, dropout_inside: bool = False, compiled: bool = False, **batches: Any
) -> Settings:
    return Settings(
        batches=msgspec.structs.replace(BATCHES, **batches),
        compiled=compiled,
        regularization=Regularization(dropout=dropout, dropout_inside=dropout_inside),
    )


def prepared(
    data: Path,
    pair: DualEncoder,
    settings: Settings,
    losses: Sequence[Loss] = CONTRASTIVE,
    *,
    distillation: Distillation | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[DualEncoderModel, dict[str, Any]]:
    """A model and its fourth batch."""
    batches = settings.batches
    examples = ExampleStore(pair.query_encoder.tokenizer, batches.max_query_length, batches.max_passage_length)
    for example in read_examples(data):
        examples.add(example)
    teacher = distillation.teacher(examples, pair.embedding_dim) if distillation else None
    maker = BatchMaker(examples, settings, teacher)
    model = build_model(pair, maker, losses, strategy)
    return model, tf.nest.map_structure(tf.constant, maker.batch(3))


def tied(pair: DualEncoder) -> DualEncoder:
    return DualEncoder(pair.query_encoder, pair.query_encoder)


def gradients(model: DualEncoderModel, batch: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    found, _ = tf.function(model.gradients, autograph=False)(batch)
    return [np.asarray(gradient) for gradient in found]


def assert_equal(found: list[Any], expected: list[Any], tolerance: float = 1e-5) -> None:
    assert len(found) == len(expected)
    assert max(np.abs(x).max() for x in expected) > 0.01
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.mark.parametrize(("chunk_size", "is_tied"), [(3, False), (100, True)])
def test_gradients_in_chunks_are_those_at_once(
    data: Path, small_pair: DualEncoder, chunk_size: int, is_tied: bool
) -> None:
    pair = tied(small_pair) if is_tied else small_pair
    expected = gradients(*prepared(data, pair, settings_of()))
    assert_equal(gradients(*prepared(data, pair, settings_of(chunk_size=chunk_size))), expected)


@pytest.mark.parametrize(("pooling", "chunk_size"), [("cls", None), ("mean", 3)])
def test_gradients_of_compiled_kernels_are_those_without(
    data: Path, small_pair: DualEncoder, pooling: Pooling, chunk_size: int | None
) -> None:
    encoder = small_pair.query_encoder
    config = dataclasses.replace(encoder.config, pooling=pooling)
    weights = encoder.weights if pooling == "pooler" else encoder.weights._replace(pooler=None)
    pair = tied(DualEncoder(with_weights(encoder, weights, config=config), encoder))
    expected = gradients(*prepared(data, pair, settings_of(chunk_size=chunk_size)))
    assert_equal(gradients(*prepared(data, pair, settings_of(chunk_size=chunk_size, compiled=True))), expected, 1e-4)


def test_gradients_of_every_loss_in_chunks_are_those_at_once(
    data: Path, small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    distillation = Distillation(encoder=teacher, cache=tmp_path)
    expected = gradients(*prepared(data, small_pair, settings_of(), EVERY_LOSS, distillation=distillation))
    chunked = settings_of(chunk_size=4)
    assert_equal(gradients(*prepared(data, small_pair, chunked, EVERY_LOSS, distillation=distillation)), expected)


def test_gradients_in_chunks_repeat_the_dropout_of_their_first_pass(
    data: Path, small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    # With one chunk a side, the masks are those of the first pass; were they others, the gradient would be too. One
    # question without negatives has no contrastive loss: its gradient is that of matching the teacher.
    whole, chunked = (
        settings_of(dropout=0.4, dropout_inside=True, size=1, hard_negatives=0, chunk_size=size) for size in (None, 1)
    )
    distillation = Distillation(encoder=teacher, cache=tmp_path)
    found, expected = (
        gradients(*prepared(data, tied(small_pair), settings, [EmbeddingMatch()], distillation=distillation))
        for settings in (chunked, whole)
    )
    assert_equal(found, expected)


@pytest.mark.parametrize(("chunk_size", "distils"), [(None, False), (3, True)])
def test_two_devices_have_the_gradients_and_losses_of_one(
    data: Path,
    small_pair: DualEncoder,
    teacher: DualEncoder,
    tmp_path: Path,
    strategy: tf.distribute.Strategy,
    chunk_size: int | None,
    distils: bool,
) -> None:
    settings, losses = settings_of(size=8, chunk_size=chunk_size), EVERY_LOSS if distils else CONTRASTIVE
    distillation = Distillation(encoder=teacher, cache=tmp_path) if distils else None
    single, batch = prepared(data, small_pair, settings, losses, distillation=distillation)
    expected, expected_report = tf.function(single.gradients, autograph=False)(batch)
    mirrored, _ = prepared(data, small_pair, settings, losses, distillation=distillation, strategy=strategy)
    halves = [tf.nest.map_structure(lambda x, part=part: x[part], batch) for part in (slice(4), slice(4, None))]
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: halves[context.replica_id_in_sync_group]
    )

    def replica(part: dict[str, Any]) -> Any:
        found, report = mirrored.gradients(part)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, found), report

    found, report = tf.function(lambda: strategy.run(replica, args=(parts,)), autograph=False)()
    first, second = (
        [strategy.experimental_local_results(x)[device] for x in (*found, *report.values())] for device in range(2)
    )
    assert_equal(list(map(np.asarray, first[: len(found)])), list(map(np.asarray, expected)))
    for device in (first, second):
        assert_equal(list(map(float, device[len(found) :])), [float(expected_report[name]) for name in report])
