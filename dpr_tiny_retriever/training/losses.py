"""The losses of a batch, as functions of vectors.

b queries, c passages of the global batch (positives, hard negatives, absent ones), d dimensions. Scores are [b, c].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any

_NOT_COUNTED = -1e9


class Columns(NamedTuple):
    """Which passage counts as what for which query."""

    own: Tensor  # [b] int32: the column of each query's positive
    counted: Tensor  # [b, c] bool: the own positive, and every text that is a negative, once
    counted_queries: (
        Tensor  # [b, b] bool, for the positive of row i: its own query, and every other that it is no answer to
    )


def columns(query_rows: Tensor, passage_rows: Tensor, known: Tensor, own: Tensor) -> Columns:
    """Find what counts: query_rows [b], passage_rows [c] (-1: absent), known [b, k] (padded by -1), own [b].

    known are the passages that answer each query. Of passages with equal text one is counted; a passage that answers
    the query, in whichever example it stands, is no negative; nor is, for a positive, a query that it answers.
    """
    answers = tf.reduce_any(known[:, :, None] == passage_rows[None, None, :], axis=1)  # [b, c]
    negative = (_first(passage_rows) & (passage_rows >= 0))[None, :] & ~answers  # [b, c]
    count = tf.shape(passage_rows)[0]
    counted = negative | tf.one_hot(own, count, on_value=True, off_value=False, dtype=tf.bool)  # [b, c]
    answered = tf.transpose(tf.gather(answers, own, axis=1))  # [b, b]: does positive i answer query j
    itself = tf.eye(tf.shape(own)[0], dtype=tf.bool)
    return Columns(own, counted, (_first(query_rows)[None, :] & ~answered) | itself)


def contrastive(scores: Tensor, where: Columns, *, symmetric: bool, queue: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of each query's positive (Karpukhin et al. 2020, equation 3).

    queue [b, m] are scores of further negatives, already masked; symmetric adds that of the query of each positive.
    """
    masked = masked_scores(scores, where.counted)
    everything = masked if queue is None else tf.concat([masked, queue], axis=1)  # [b, c + m]
    loss = tf.reduce_mean(tf.reduce_logsumexp(everything, axis=1) - _own(scores, where.own))
    if symmetric:
        turned = tf.transpose(tf.gather(scores, where.own, axis=1))  # [b, b]: positives against queries
        likely = tf.reduce_logsumexp(masked_scores(turned, where.counted_queries), axis=1)  # [b]
        loss += tf.reduce_mean(likely - tf.linalg.diag_part(turned))
    return loss


def divergence(teacher: Tensor, student: Tensor, present: Tensor) -> Tensor:
    """Mean KL divergence of the student's softmax over each row from the teacher's; present broadcasts to [b, c]."""
    log_teacher = tf.nn.log_softmax(masked_scores(teacher, present))
    log_student = tf.nn.log_softmax(masked_scores(student, present))
    return tf.reduce_mean(tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis=1))


def margin_error(teacher: Tensor, student: Tensor, where: Columns) -> Tensor:
    """Mean squared error of the score margins between positive and negatives (Hofstätter et al. 2020)."""
    count = tf.shape(student)[1]
    negative = where.counted & ~tf.one_hot(where.own, count, on_value=True, off_value=False, dtype=tf.bool)
    differences = (_own(student, where.own)[:, None] - student) - (_own(teacher, where.own)[:, None] - teacher)
    counted = tf.cast(negative, student.dtype)  # [b, c]
    return tf.math.divide_no_nan(tf.reduce_sum(differences**2 * counted), tf.reduce_sum(counted))


def mismatch(vectors: Tensor, targets: Tensor, present: Tensor) -> Tensor:
    """Mean of 1 - cosine between vectors [n, d] and targets [n, d], over the rows that are present [n]."""
    cosines = tf.reduce_sum(tf.math.l2_normalize(vectors, -1, 1e-24) * tf.math.l2_normalize(targets, -1, 1e-24), -1)
    counted = tf.cast(present, vectors.dtype)
    return tf.reduce_sum((1 - cosines) * counted) / tf.reduce_sum(counted)


def masked_scores(scores: Tensor, counted: Tensor) -> Tensor:
    """Scores with those that do not count so low that a softmax gives them nothing."""
    return tf.where(counted, scores, tf.constant(_NOT_COUNTED, scores.dtype))


def _own(scores: Tensor, own: Tensor) -> Tensor:
    return tf.gather(scores, own, axis=1, batch_dims=1)  # [b]


def _first(rows: Tensor) -> Tensor:
    """Whether no equal row stands earlier, [n]."""
    count = tf.shape(rows)[0]
    equal = rows[:, None] == rows[None, :]  # [n, n]
    return tf.argmax(tf.cast(equal, tf.int32), axis=1, output_type=tf.int32) == tf.range(count)
