"""What the bundled pair's batches hold beyond the package's, and the losses over it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from bundled_batches import BatchExtras, BundledBatches
from bundled_losses import BlendedKLDivergence, QueuedContrastive, QueueModel
from in_batch_bm25 import InBatchBM25
from stored_examples import stored

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import Batches, Distillation, Regularization, Schedule, Settings, read_examples
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.losses import BatchScores, TeacherScores, kl_divergence, negative_mask
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.training.trainer import build_model

pytestmark = pytest.mark.training

SCORES = np.array([[2.0, 1.0, 0.5, 3.0], [0.0, 1.5, 2.5, -1.0]], np.float32)
QUEUE = np.array([[4.0, 9.0], [1.0, 2.0]], np.float32)
COUNTED = np.array([[1, 0], [1, 1]], np.int32)
SETTINGS = Settings(
    schedule=Schedule(steps=10),
    batches=Batches(size=6, hard_negatives=0, max_query_length=16, max_passage_length=32),
    regularization=Regularization(dropout=0.0),
)


def test_scores_of_a_batch_are_bm25(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    scores = InBatchBM25(examples.queries, examples.passages).scores(np.array([0, 1]), np.array([2, 0, 1]))
    assert scores.shape == (2, 3)
    assert scores[1].argmax() == 0  # "city" stands in that passage alone
    tokens = examples.passages.tokens(2)
    (piece,) = set(examples.queries.tokens(1)) & set(tokens) - {tokens[0], tokens[-1]}
    assert np.count_nonzero(tokens == piece) == 2
    count, length = 4, np.mean([len(examples.passages.tokens(row)) for row in range(4)])
    idf = np.log1p((count - 1 + 0.5) / 1.5)
    held = np.count_nonzero(tokens == piece)
    weight = idf * held * 1.9 / (held + 0.9 * (0.6 + 0.4 * len(tokens) / length))
    assert scores[1, 0] == pytest.approx(weight, abs=1e-5)


def scores_with_queue() -> BatchScores:
    rows = [(0, 1), (10, 11, 12, 13), ((10,), (12,)), (0, 2)]
    mask = negative_mask(*(tf.constant(x, tf.int32) for x in rows))
    vectors = np.ones((4, 2), np.float32)
    teacher = TeacherScores(vectors[:2], vectors, tf.constant(SCORES[:, ::-1].copy()), 1.0)
    extras = {"queue_scores": QUEUE, "queue_counted": COUNTED, "queue_similarities": QUEUE[::-1].copy()}
    extras["bm25"] = np.arange(12, dtype=np.float32).reshape(2, 6)
    similarities, present = tf.constant(SCORES), np.ones(4, bool)
    return BatchScores(vectors[:2], vectors, similarities, similarities, 1.0, mask, present, teacher, extras)


def test_passages_of_the_queue_are_further_negatives() -> None:
    expected = np.mean(
        [
            np.log(np.exp([*SCORES[0], 4.0]).sum()) - SCORES[0, 0],
            np.log(np.exp([*SCORES[1], 1.0, 2.0]).sum()) - SCORES[1, 2],
        ]
    )
    found = QueuedContrastive(weight=1).value(scores_with_queue())
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_the_teachers_scores_are_blended_with_bm25_over_batch_and_queue() -> None:
    scores = scores_with_queue()
    wanted = np.concatenate([SCORES[:, ::-1], QUEUE[::-1]], 1) + 0.3 * scores.extras["bm25"]
    counted = np.concatenate([np.ones_like(SCORES), COUNTED], 1) > 0
    one_way = kl_divergence(wanted, np.concatenate([SCORES, QUEUE], 1), counted)
    by_positive = kl_divergence(wanted[:, [0, 2]].T, SCORES[:, [0, 2]].T, np.ones((2, 2), bool))
    found = BlendedKLDivergence(weight=1, bm25_weight=0.3).value(scores)
    assert float(found) == pytest.approx(float(one_way + by_positive), abs=1e-5)


@pytest.fixture
def examples(data: Path, small_pair: DualEncoder) -> ExampleStore:
    found = ExampleStore(small_pair.query_encoder.tokenizer, 16, 32)
    for example in read_examples(data):
        found.add(example)
    return found


def maker(examples: ExampleStore, teacher: DualEncoder, cache: Path, **extras: Any) -> BundledBatches:
    found = Distillation(encoder=teacher, cache=cache).teacher(examples, 16)
    return BundledBatches(examples, SETTINGS, found, extras=BatchExtras(**extras))


def test_without_extras_batches_are_the_packages(examples: ExampleStore, teacher: DualEncoder, tmp_path: Path) -> None:
    plain = maker(examples, teacher, tmp_path)
    expected = BatchMaker(examples, SETTINGS, plain.teacher).batch(5)
    found = plain.batch(5)
    assert found.keys() == expected.keys()
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_queue_holds_the_latest_passages_newest_first(
    examples: ExampleStore, teacher: DualEncoder, tmp_path: Path
) -> None:
    batches = maker(examples, teacher, tmp_path, queue=8)
    assert not batches.batch(0)["queue_counted"].any()
    former = np.concatenate([batches.rows(step)[1].reshape(-1) for step in (2, 1)])[:8]
    for fresh in (batches, maker(examples, teacher, tmp_path, queue=8)):  # going on, and resumed at this step
        batch = fresh.batch(3)
        answers = (former[None, :, None] == batch["known_rows"][:, None, :]).any(axis=2)
        np.testing.assert_array_equal(batch["queue_counted"], (~answers).astype(np.int32))
        assert batch["queue_similarities"].shape == (6, 8)


def test_examples_of_a_topic_are_neighbours_by_the_teacher(
    examples: ExampleStore, teacher: DualEncoder, tmp_path: Path
) -> None:
    batches = maker(examples, teacher, tmp_path, topics=1, topic_pool=12)
    rows = batches.rows(2)[0]
    assert len(set(rows.tolist())) == 6
    assert batches.teacher is not None
    vectors = batches.teacher.reduced(batches.teacher.passages(np.arange(batches.teacher.num_passages)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-vectors[examples.positive_rows[rows[0]]] @ vectors.T)[:12]
    assert set(examples.positive_rows[rows].tolist()) <= set(nearest.tolist())


def test_passages_are_short_at_first(examples: ExampleStore, teacher: DualEncoder, tmp_path: Path) -> None:
    batches = maker(examples, teacher, tmp_path, short_passages=8, short_until=0.5)
    assert [batches.batch(step)["passages"].lengths.max() <= 8 for step in (0, 4, 5)] == [True, True, False]


def test_two_devices_train_with_the_queue_of_one(
    examples: ExampleStore,
    small_pair: DualEncoder,
    teacher: DualEncoder,
    strategy: tf.distribute.Strategy,
    tmp_path: Path,
) -> None:
    batches = maker(examples, teacher, tmp_path, queue=5, bm25=True)
    losses = [QueuedContrastive(weight=1), BlendedKLDivergence(weight=1, bm25_weight=0.3)]

    def model(chosen: tf.distribute.Strategy | None) -> QueueModel:
        made = build_model(small_pair, batches, losses, chosen, functools.partial(QueueModel, queue=5))
        assert isinstance(made, QueueModel)
        return made

    batch = tf.nest.map_structure(tf.constant, batches.batch(3))
    single, mirrored = model(None), model(strategy)
    expected, expected_report = tf.function(single.gradients, autograph=False)(batch)
    halves = [tf.nest.map_structure(lambda x, part=part: x[part], batch) for part in (slice(3), slice(3, None))]
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: halves[context.replica_id_in_sync_group]
    )

    def replica(part: dict[str, Any]) -> Any:
        found, report = mirrored.gradients(part)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, found), report

    found, report = tf.function(lambda: strategy.run(replica, args=(parts,)), autograph=False)()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(strategy.experimental_local_results(one)[0], other, atol=1e-5)
    for name, value in report.items():
        local = strategy.experimental_local_results(value)[1]
        assert float(local) == pytest.approx(float(expected_report[name]), abs=1e-5)
    np.testing.assert_allclose(mirrored.queue.numpy(), single.queue.numpy(), atol=1e-6)
    assert np.abs(single.queue.numpy()).sum(axis=1).all()
