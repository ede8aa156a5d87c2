"""Batches of topics, of short passages, with a queue of former passages and BM25; the losses over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from stored_examples import stored

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import (
    Batches,
    Contrastive,
    Distillation,
    KLDivergence,
    Losses,
    Regularization,
    Schedule,
    Settings,
    read_examples,
)
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.in_batch_bm25 import InBatchBM25
from dpr_tiny_retriever.training.losses import BatchScores, QueueScores, TeacherScores, kl_divergence, negative_mask
from dpr_tiny_retriever.training.token_store import ExampleStore
from dpr_tiny_retriever.training.trainer import build_model

pytestmark = pytest.mark.training

SCORES = np.array([[2.0, 1.0, 0.5, 3.0], [0.0, 1.5, 2.5, -1.0]], np.float32)
QUEUE = np.array([[4.0, 9.0], [1.0, 2.0]], np.float32)
COUNTED = np.array([[1, 0], [1, 1]], np.int32)
LOSSES = Losses(kl_divergence=KLDivergence(bm25_weight=0.3))


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
    queue = QueueScores(QUEUE, COUNTED > 0, QUEUE[::-1].copy())
    bm25 = 0.1 * np.arange(12, dtype=np.float32).reshape(2, 6)
    similarities, present = tf.constant(SCORES), np.ones(4, bool)
    return BatchScores(vectors[:2], vectors, similarities, similarities, 1.0, mask, present, teacher, queue, bm25)


def test_passages_of_the_queue_are_further_negatives() -> None:
    expected = np.mean(
        [
            np.log(np.exp([*SCORES[0], 4.0]).sum()) - SCORES[0, 0],
            np.log(np.exp([*SCORES[1], 1.0, 2.0]).sum()) - SCORES[1, 2],
        ]
    )
    found = Contrastive().value(scores_with_queue())
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_the_teachers_scores_are_blended_with_bm25_over_batch_and_queue() -> None:
    scores = scores_with_queue()
    wanted = np.concatenate([SCORES[:, ::-1], QUEUE[::-1]], 1) + 0.3 * scores.bm25
    counted = np.concatenate([np.ones_like(SCORES), COUNTED], 1) > 0
    one_way = kl_divergence(wanted, np.concatenate([SCORES, QUEUE], 1), counted)
    by_positive = kl_divergence(wanted[:, [0, 2]].T, SCORES[:, [0, 2]].T, np.ones((2, 2), bool))
    found = KLDivergence(bm25_weight=0.3).value(scores)
    assert float(found) == pytest.approx(float(one_way + by_positive), abs=1e-5)


@pytest.fixture
def examples(data: Path, small_pair: DualEncoder) -> ExampleStore:
    found = ExampleStore(small_pair.query_encoder.tokenizer, 16, 32)
    for example in read_examples(data):
        found.add(example)
    return found


def maker(
    examples: ExampleStore, teacher: DualEncoder, cache: Path, losses: Losses | None = None, **batches: Any
) -> BatchMaker:
    settings = Settings(
        schedule=Schedule(steps=10),
        batches=Batches(size=6, hard_negatives=0, max_query_length=16, max_passage_length=32, **batches),
        regularization=Regularization(dropout=0.0),
        losses=losses or Losses(),
    )
    found = Distillation(encoder=teacher, cache=cache).teacher(examples, 16)
    return BatchMaker(examples, settings, found)


def test_topics_need_a_teacher(examples: ExampleStore) -> None:
    with pytest.raises(ValueError, match=r"batches\.topics is set, and there is no teacher"):
        BatchMaker(examples, Settings(batches=Batches(topics=2)), None)


def test_without_a_teacher_a_queue_has_no_similarities_by_it(examples: ExampleStore) -> None:
    batch = BatchMaker(examples, Settings(batches=Batches(size=6, queue=5)), None).batch(2)
    assert batch["queue_counted"].shape == (6, 5)
    assert "queue_similarities" not in batch


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
    batches = maker(examples, teacher, tmp_path, LOSSES, queue=5)

    def model(chosen: tf.distribute.Strategy | None) -> DualEncoderModel:
        return build_model(small_pair, batches, LOSSES.chosen(), chosen)

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
    assert mirrored.queue is not None
    assert single.queue is not None
    np.testing.assert_allclose(mirrored.queue.numpy(), single.queue.numpy(), atol=1e-6)
    assert np.abs(single.queue.numpy()).sum(axis=1).all()
