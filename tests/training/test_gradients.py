"""Gradients: in chunks as at once, on two devices as on one, and those that dropout repeats."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import Distillation, Settings, read_examples
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.dual_encoder_model import PairModel
from dpr_tiny_retriever.training.token_store import ExampleStore, TextStore
from dpr_tiny_retriever.training.trainer import compiled_model

pytestmark = pytest.mark.training

SETTINGS = Settings(batch_size=7, hard_negatives=1, max_query_length=16, max_passage_length=32, dropout=0.0, steps=10)
DISTILLING = dataclasses.replace(
    SETTINGS, match_weight=2, kl_weight=1, margin_weight=0.5, lexical_weight=0.3, queue=5, symmetric=True, topics=2
)


def examples_of(data: Path, pair: DualEncoder, settings: Settings) -> ExampleStore:
    tokenizer = pair.query_encoder.tokenizer
    stores = [TextStore(tokenizer, length) for length in (settings.max_query_length, settings.max_passage_length)]
    examples = ExampleStore(stores[0], stores[1])
    for example in read_examples(data):
        examples.add(example)
    return examples


def prepared(
    data: Path,
    pair: DualEncoder,
    settings: Settings,
    *,
    tied: bool = False,
    distillation: Distillation | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[PairModel, dict[str, Any]]:
    """A model and its fourth batch."""
    examples = examples_of(data, pair, settings)
    teacher = distillation.teacher(examples, pair.embedding_dim) if distillation else None
    maker = BatchMaker(examples, settings, total=10, teacher=teacher)
    strategy = strategy or tf.distribute.get_strategy()
    model = compiled_model(pair, tied, settings, 10, teacher, strategy)
    return model, {name: tf.constant(array) for name, array in maker.batch(3).items()}


def gradients(model: PairModel, batch: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    found, _ = tf.function(model.gradients, autograph=False)(batch)
    return [np.asarray(gradient) for gradient in found]


def assert_equal(found: list[Any], expected: list[Any], tolerance: float = 1e-5) -> None:
    assert len(found) == len(expected)
    assert max(np.abs(x).max() for x in expected) > 0.01
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.mark.parametrize(("chunk_size", "tied"), [(3, False), (100, True)])
def test_gradients_in_chunks_are_those_at_once(
    data: Path, small_pair: DualEncoder, chunk_size: int, tied: bool
) -> None:
    expected = gradients(*prepared(data, small_pair, SETTINGS, tied=tied))
    chunked = dataclasses.replace(SETTINGS, chunk_size=chunk_size)
    assert_equal(gradients(*prepared(data, small_pair, chunked, tied=tied)), expected)


def test_gradients_of_every_loss_in_chunks_are_those_at_once(
    data: Path, small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    distillation = Distillation(encoder=teacher, cache=tmp_path)
    expected = gradients(*prepared(data, small_pair, DISTILLING, distillation=distillation))
    chunked = dataclasses.replace(DISTILLING, chunk_size=4)
    assert_equal(gradients(*prepared(data, small_pair, chunked, distillation=distillation)), expected)


def test_gradients_in_chunks_repeat_the_dropout_of_their_first_pass(data: Path, small_pair: DualEncoder) -> None:
    # With one chunk a side, the masks are those of the first pass; were they others, the gradient would be too.
    settings = dataclasses.replace(SETTINGS, dropout=0.4, dropout_inside=True, batch_size=1, hard_negatives=0)
    chunked, batch = prepared(data, small_pair, dataclasses.replace(settings, chunk_size=1), tied=True)
    whole, _ = prepared(data, small_pair, settings, tied=True)
    batch["query_targets"] = batch["passage_targets"] = None
    for model in (chunked, whole):
        model.settings = dataclasses.replace(model.settings, match_weight=1.0)
    rng = np.random.default_rng(0)
    batch["query_targets"] = tf.constant(rng.normal(size=(1, 16)).astype("f"))
    batch["passage_targets"] = tf.constant(rng.normal(size=(1, 1, 16)).astype("f"))
    assert_equal(gradients(chunked, batch), gradients(whole, batch))


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
    settings = dataclasses.replace(DISTILLING if distils else SETTINGS, batch_size=8, chunk_size=chunk_size)
    distillation = Distillation(encoder=teacher, cache=tmp_path) if distils else None
    single, batch = prepared(data, small_pair, settings, distillation=distillation)
    expected, expected_report = tf.function(single.gradients, autograph=False)(batch)
    mirrored, _ = prepared(data, small_pair, settings, distillation=distillation, strategy=strategy)
    halves = [{name: x[:4] if at == 0 else x[4:] for name, x in batch.items()} for at in range(2)]
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
