"""What counts as a negative, and what the losses are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dpr_tiny_retriever.training import losses as loss

pytestmark = pytest.mark.training

SCORES = np.array([[2.0, 1.0, 0.5, 3.0], [0.0, 1.5, 2.5, -1.0]], np.float32)


def where(
    passages: list[int], *, queries: tuple[int, ...] = (0, 1), known: tuple[tuple[int, ...], ...], own: tuple[int, ...]
) -> loss.Columns:
    return loss.columns(*(tf.constant(x, tf.int32) for x in (queries, passages, known, own)))


def likelihood(row: int, own: int, counted: list[int]) -> float:
    return float(np.log(np.exp(SCORES[row, counted]).sum()) - SCORES[row, own])


def test_every_other_passage_of_the_batch_is_a_negative() -> None:
    found = loss.contrastive(SCORES, where([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2)), symmetric=False)
    expected = (likelihood(0, 0, [0, 1, 2, 3]) + likelihood(1, 2, [0, 1, 2, 3])) / 2
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_a_passage_that_answers_the_query_elsewhere_is_no_negative() -> None:
    found = loss.contrastive(SCORES, where([10, 11, 12, 13], known=((10, 13), (12, -1)), own=(0, 2)), symmetric=False)
    expected = (likelihood(0, 0, [0, 1, 2]) + likelihood(1, 2, [0, 1, 2, 3])) / 2
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_a_copy_of_the_positive_is_no_negative() -> None:
    found = loss.contrastive(SCORES, where([10, 11, 10, 13], known=((10,), (10,)), own=(0, 2)), symmetric=False)
    expected = (likelihood(0, 0, [0, 1, 3]) + likelihood(1, 2, [1, 2, 3])) / 2
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_a_negative_that_stands_twice_counts_once() -> None:
    found = loss.contrastive(SCORES, where([10, 11, 12, 11], known=((10,), (12,)), own=(0, 2)), symmetric=False)
    expected = (likelihood(0, 0, [0, 1, 2]) + likelihood(1, 2, [0, 1, 2])) / 2
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_an_absent_passage_does_not_count() -> None:
    found = loss.contrastive(SCORES, where([10, -1, 12, -1], known=((10,), (12,)), own=(0, 2)), symmetric=False)
    expected = (likelihood(0, 0, [0, 2]) + likelihood(1, 2, [0, 2])) / 2
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_one_question_without_negatives_has_no_loss() -> None:
    single = where([10], queries=(0,), known=((10,),), own=(0,))
    for symmetric in (False, True):
        assert float(loss.contrastive(SCORES[:1, :1], single, symmetric=symmetric)) == pytest.approx(0, abs=1e-6)


def test_symmetric_adds_the_likelihood_of_each_positives_query() -> None:
    columns = where([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2))
    one_way = loss.contrastive(SCORES, columns, symmetric=False)
    both = loss.contrastive(SCORES, columns, symmetric=True)
    turned = SCORES[:, [0, 2]].T
    expected = np.mean([np.log(np.exp(turned[i]).sum()) - turned[i, i] for i in range(2)])
    assert float(both - one_way) == pytest.approx(float(expected), abs=1e-6)


def test_in_the_symmetric_loss_a_query_that_the_passage_answers_is_no_negative() -> None:
    columns = where([10, 11, 10, 13], known=((10,), (10,)), own=(0, 2))
    one_way = loss.contrastive(SCORES, columns, symmetric=False)
    assert float(loss.contrastive(SCORES, columns, symmetric=True)) == pytest.approx(float(one_way), abs=1e-6)


def test_scores_of_the_queue_are_further_negatives() -> None:
    columns = where([10, 11, 12, 13], known=((10,), (12,)), own=(0, 2))
    queue = tf.constant([[4.0, -1e9], [1.0, 2.0]])
    expected = np.mean(
        [
            np.log(np.exp([*SCORES[0], 4.0]).sum()) - SCORES[0, 0],
            np.log(np.exp([*SCORES[1], 1.0, 2.0]).sum()) - SCORES[1, 2],
        ]
    )
    found = loss.contrastive(SCORES, columns, symmetric=False, queue=queue)
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_divergence_is_zero_between_equal_scores_up_to_a_shift() -> None:
    everything = np.ones_like(SCORES, bool)
    assert float(loss.divergence(SCORES + 3, SCORES, everything)) == pytest.approx(0, abs=1e-6)


def test_divergence_is_kullback_and_leiblers() -> None:
    other = SCORES[:, ::-1].copy()
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (SCORES, other))
    expected = float((p * np.log(p / q)).sum(1).mean())
    assert float(loss.divergence(SCORES, other, np.ones_like(SCORES, bool))) == pytest.approx(expected, abs=1e-5)


def test_margin_error_compares_margins_to_counted_negatives() -> None:
    columns = where([10, 11, 12, -1], known=((10,), (12,)), own=(0, 2))
    teacher = np.zeros_like(SCORES)
    margins = [SCORES[0, 0] - SCORES[0, [1, 2]], SCORES[1, 2] - SCORES[1, [0, 1]]]
    expected = float(np.mean(np.square(margins)))
    assert float(loss.margin_error(teacher, SCORES, columns)) == pytest.approx(expected, abs=1e-5)


def test_margin_error_without_negatives_is_zero() -> None:
    single = where([10], queries=(0,), known=((10,),), own=(0,))
    assert float(loss.margin_error(SCORES[:1, :1], SCORES[:1, :1], single)) == 0


def test_mismatch_is_one_minus_cosine_over_what_is_present() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]], np.float32)
    targets = np.array([[2.0, 0.0], [3.0, 0.0], [-1.0, 0.0]], np.float32)
    assert float(loss.mismatch(vectors, targets, [True, True, False])) == pytest.approx(0.5, abs=1e-6)
