"""What counts as a negative, and what the losses are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from dpr_tiny_retriever.training.losses import (
    BatchScores,
    Contrastive,
    EmbeddingMatch,
    KLDivergence,
    MarginMSE,
    NegativeMask,
    TeacherScores,
    cosine_distance,
    kl_divergence,
    negative_mask,
)

pytestmark = [pytest.mark.also_lowest, pytest.mark.training]

SCORES = np.array([[2.0, 1.0, 0.5, 3.0], [0.0, 1.5, 2.5, -1.0]], np.float32)


def mask(
    passages: list[int], *, queries: tuple[int, ...] = (0, 1), known: tuple[tuple[int, ...], ...], own: tuple[int, ...]
) -> NegativeMask:
    return negative_mask(*(tf.constant(x, tf.int32) for x in (queries, passages, known, own)))


def batch(
    columns: NegativeMask, scores: NDArray[np.float32] = SCORES, *, teacher: NDArray[np.float32] | None = None
) -> BatchScores:
    """Scores at temperature 1, of queries and passages whose vectors do not matter."""
    queries, passages = np.ones((scores.shape[0], 2), np.float32), np.ones((scores.shape[1], 2), np.float32)
    present = np.ones(scores.shape[1], bool)
    taught = None if teacher is None else TeacherScores(queries, passages, tf.constant(teacher), 1.0)
    similarities = tf.constant(scores)
    return BatchScores(queries, passages, similarities, similarities, 1.0, columns, present, taught)


def contrastive(columns: NegativeMask, scores: NDArray[np.float32] = SCORES, *, symmetric: bool = False) -> float:
    return float(Contrastive(symmetric=symmetric).value(batch(columns, scores)))


def likelihood(row: int, own: int, counted: list[int]) -> float:
    return float(np.log(np.exp(SCORES[row, counted]).sum()) - SCORES[row, own])


def test_every_other_passage_of_the_batch_is_a_negative() -> None:
    found = contrastive(mask([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2)))
    expected = (likelihood(0, 0, [0, 1, 2, 3]) + likelihood(1, 2, [0, 1, 2, 3])) / 2
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_passage_that_answers_the_query_elsewhere_is_no_negative() -> None:
    found = contrastive(mask([10, 11, 12, 13], known=((10, 13), (12, -1)), own=(0, 2)))
    expected = (likelihood(0, 0, [0, 1, 2]) + likelihood(1, 2, [0, 1, 2, 3])) / 2
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_copy_of_the_positive_is_no_negative() -> None:
    found = contrastive(mask([10, 11, 10, 13], known=((10,), (10,)), own=(0, 2)))
    expected = (likelihood(0, 0, [0, 1, 3]) + likelihood(1, 2, [1, 2, 3])) / 2
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_negative_that_stands_twice_counts_once() -> None:
    found = contrastive(mask([10, 11, 12, 11], known=((10,), (12,)), own=(0, 2)))
    expected = (likelihood(0, 0, [0, 1, 2]) + likelihood(1, 2, [0, 1, 2])) / 2
    assert found == pytest.approx(expected, abs=1e-6)


def test_an_absent_passage_does_not_count() -> None:
    found = contrastive(mask([10, -1, 12, -1], known=((10,), (12,)), own=(0, 2)))
    expected = (likelihood(0, 0, [0, 2]) + likelihood(1, 2, [0, 2])) / 2
    assert found == pytest.approx(expected, abs=1e-6)


def test_one_question_without_negatives_has_no_loss() -> None:
    single = mask([10], queries=(0,), known=((10,),), own=(0,))
    for symmetric in (False, True):
        assert contrastive(single, SCORES[:1, :1], symmetric=symmetric) == pytest.approx(0, abs=1e-6)


def test_symmetric_adds_the_likelihood_of_each_positives_query() -> None:
    columns = mask([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2))
    one_way = contrastive(columns, symmetric=False)
    both = contrastive(columns, symmetric=True)
    turned = SCORES[:, [0, 2]].T
    expected = np.mean([np.log(np.exp(turned[i]).sum()) - turned[i, i] for i in range(2)])
    assert both - one_way == pytest.approx(float(expected), abs=1e-6)


def test_in_the_symmetric_loss_a_query_that_the_passage_answers_is_no_negative() -> None:
    columns = mask([10, 11, 10, 13], known=((10,), (10,)), own=(0, 2))
    one_way = contrastive(columns, symmetric=False)
    assert contrastive(columns, symmetric=True) == pytest.approx(one_way, abs=1e-6)


def test_divergence_is_zero_between_equal_scores_up_to_a_shift() -> None:
    everything = np.ones_like(SCORES, bool)
    assert float(kl_divergence(SCORES + 3, SCORES, everything)) == pytest.approx(0, abs=1e-6)


def test_divergence_is_kullback_and_leiblers() -> None:
    other = SCORES[:, ::-1].copy()
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (SCORES, other))
    expected = float((p * np.log(p / q)).sum(1).mean())
    assert float(kl_divergence(SCORES, other, np.ones_like(SCORES, bool))) == pytest.approx(expected, abs=1e-5)


def test_the_divergence_loss_adds_that_of_the_queries_for_each_positive() -> None:
    columns = mask([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2))
    teacher = SCORES[:, ::-1].copy()
    one_way = kl_divergence(teacher, SCORES, np.ones_like(SCORES, bool))
    by_positive = kl_divergence(teacher[:, [0, 2]].T, SCORES[:, [0, 2]].T, np.ones((2, 2), bool))
    found = KLDivergence().value(batch(columns, teacher=teacher))
    assert float(found) == pytest.approx(float(one_way + by_positive), abs=1e-6)


def test_the_margin_loss_compares_margins_to_the_counted_negatives() -> None:
    columns = mask([10, 11, 12, -1], known=((10,), (12,)), own=(0, 2))
    margins = [SCORES[0, 0] - SCORES[0, [1, 2]], SCORES[1, 2] - SCORES[1, [0, 1]]]
    expected = float(np.mean(np.square(margins)))
    found = MarginMSE().value(batch(columns, teacher=np.zeros_like(SCORES)))
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_the_margin_loss_without_negatives_is_zero() -> None:
    single = mask([10], queries=(0,), known=((10,),), own=(0,))
    assert float(MarginMSE().value(batch(single, SCORES[:1, :1], teacher=SCORES[:1, 1:2]))) == 0


def test_cosine_distance_is_over_what_is_present() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]], np.float32)
    targets = np.array([[2.0, 0.0], [3.0, 0.0], [-1.0, 0.0]], np.float32)
    assert float(cosine_distance(vectors, targets, [True, True, False])) == pytest.approx(0.5, abs=1e-6)


def test_matching_embeddings_adds_the_distances_of_queries_and_present_passages() -> None:
    columns = mask([10, -1], known=((10,), (10,)), own=(0, 0))
    x, y = [1.0, 0.0], [0.0, 1.0]
    queries, passages = np.array([x, x], np.float32), np.array([x, x], np.float32)
    teacher = TeacherScores(np.array([x, y], np.float32), np.array([y, x], np.float32), SCORES[:, :2], 1.0)
    scores = BatchScores(
        queries, passages, SCORES[:, :2], SCORES[:, :2], 1.0, columns, np.array([True, False]), teacher
    )
    assert float(EmbeddingMatch().value(scores)) == pytest.approx(0.5 + 1.0, abs=1e-6)


def test_a_loss_that_needs_a_teacher_says_so() -> None:
    with pytest.raises(ValueError, match="no teacher's scores; expected a run with distillation"):
        KLDivergence().value(batch(mask([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2))))
