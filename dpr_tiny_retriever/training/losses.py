"""The losses of a batch: objects with one signature, over one record of the batch's scores.

b queries, c passages of the global batch (positives, hard negatives, absent ones), d dimensions. Scores are [b, c].
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import tensorflow as tf

from dpr_tiny_retriever.training.validated import CountOrZero, NotNegative, Positive, Validated
from dpr_tiny_retriever.types import Similarity, Tensor

#: What similarities are divided by before a softmax, of a student and of a teacher.
TEMPERATURES: dict[Similarity, float] = {"cosine": 0.05, "dot": 1.0}
_MASKED = -1e9


class NegativeMask(NamedTuple):
    """Which passage is a positive or a negative of which query."""

    own: Tensor  # [b] int32: the column of each query's positive
    is_negative_or_own: Tensor  # [b, c] bool: the own positive, and one copy of every negative
    is_other_query_or_own: Tensor  # [b, b] bool: for the positive of row i its query, and those it does not answer


class TeacherScores(NamedTuple):
    """What the teacher says of the batch."""

    queries: Tensor  # [b, t] vectors, t being the student's width
    passages: Tensor  # [c, t]
    similarities: Tensor  # [b, c] of the full vectors
    temperature: float


class QueueScores(NamedTuple):
    """What the queries make of the m passages of former batches."""

    scores: Tensor  # [b, m]: similarities over temperature
    counted: Tensor  # [b, m] bool: the passages that are negatives of the query
    teacher_similarities: Tensor | None = None  # [b, m]


class BatchScores(NamedTuple):
    """All that a loss may look at, over the global batch."""

    queries: Tensor  # [b, d]
    passages: Tensor  # [c, d]
    similarities: Tensor  # [b, c]
    scores: Tensor  # [b, c]: similarities over temperature
    temperature: float
    mask: NegativeMask
    present: Tensor  # [c] bool: False for a hard negative that its question lacks
    teacher: TeacherScores | None = None
    queue: QueueScores | None = None
    bm25: Tensor | None = None  # [b, c + m]

    def taught(self) -> TeacherScores:
        """The teacher's scores, where a loss needs them."""
        if self.teacher is None:
            raise ValueError("the batch has no teacher's scores; expected a run with distillation")
        return self.teacher


class Loss(Validated, frozen=True, kw_only=True):
    """One term of the sum that is minimized."""

    name: ClassVar[str]
    uses_teacher: ClassVar[bool] = False
    weight: Positive = 1.0

    def value(self, batch: BatchScores) -> Tensor:
        """The mean over the batch, a scalar."""
        raise NotImplementedError


class Contrastive(Loss, frozen=True, kw_only=True):
    """Negative log-likelihood of each query's positive among the passages (Karpukhin et al. 2020, eq. 3).

    The passages are those of the batch and, where batches.queue is set, of former ones.
    """

    name: ClassVar[str] = "contrastive"
    symmetric: bool = False
    """Also rank the queries of the batch for each positive."""

    def value(self, batch: BatchScores) -> Tensor:
        """Return the mean negative log-likelihood of the batch, a scalar."""
        mask = batch.mask
        candidates = masked(batch.scores, mask.is_negative_or_own)  # [b, c]
        if batch.queue is not None:
            candidates = tf.concat([candidates, masked(batch.queue.scores, batch.queue.counted)], axis=1)  # [b, c + m]
        loss = log_likelihood_loss(batch.scores, candidates, mask.own)
        if self.symmetric:
            by_positive = tf.transpose(tf.gather(batch.scores, mask.own, axis=1))  # [b, b]: positives against queries
            normalizer = tf.reduce_logsumexp(masked(by_positive, mask.is_other_query_or_own), axis=1)  # [b]
            loss += tf.reduce_mean(normalizer - tf.linalg.diag_part(by_positive))
        return loss


class EmbeddingMatch(Loss, frozen=True, kw_only=True):
    """1 - cosine to the teacher's vectors, which are reduced to the student's width where they are wider."""

    name: ClassVar[str] = "embedding_match"
    uses_teacher: ClassVar[bool] = True
    projection_steps: CountOrZero = 0
    """Steps in which the reduction, principal components at first, learns to rank as the teacher does."""

    def value(self, batch: BatchScores) -> Tensor:
        """Return the mean cosine distance of queries plus that of passages, a scalar."""
        teacher = batch.taught()
        every_query = tf.ones_like(batch.mask.own, tf.bool)
        queries = cosine_distance(batch.queries, teacher.queries, every_query)
        return queries + cosine_distance(batch.passages, teacher.passages, batch.present)


class KLDivergence(Loss, frozen=True, kw_only=True):
    """Kullback-Leibler divergence from the teacher's scores over the batch and the queue, in both directions."""

    name: ClassVar[str] = "kl_divergence"
    uses_teacher: ClassVar[bool] = True
    bm25_weight: NotNegative = 0.0
    """BM25 times this is added to the teacher's scores: together they rank better than either alone."""

    def value(self, batch: BatchScores) -> Tensor:
        """Return the mean of both directions' divergences, a scalar."""
        teacher, queue = batch.taught(), batch.queue
        student, wanted = batch.scores, teacher.similarities
        counted = tf.broadcast_to(batch.present[None, :], tf.shape(student))
        if queue is not None:
            student = tf.concat([student, queue.scores], 1)  # [b, c + m]
            wanted = tf.concat([wanted, queue.teacher_similarities], 1)
            counted = tf.concat([counted, queue.counted], 1)
        wanted /= teacher.temperature
        if batch.bm25 is not None:
            wanted += self.bm25_weight * batch.bm25
        return two_way_kl_divergence(wanted, student, counted, own=batch.mask.own)


class MarginMSE(Loss, frozen=True, kw_only=True):
    """Squared error of the score margins between positive and negatives to the teacher's (Hofstätter et al. 2020)."""

    name: ClassVar[str] = "margin_mse"
    uses_teacher: ClassVar[bool] = True

    def value(self, batch: BatchScores) -> Tensor:
        """Return the mean squared difference of the margins, a scalar."""
        own, student, teacher = batch.mask.own, batch.similarities, batch.taught().similarities
        is_own = tf.one_hot(own, tf.shape(student)[1], on_value=True, off_value=False, dtype=tf.bool)
        counted = tf.cast(batch.mask.is_negative_or_own & ~is_own, student.dtype)  # [b, c]
        errors = (_own(student, own)[:, None] - student) - (_own(teacher, own)[:, None] - teacher)
        return tf.math.divide_no_nan(tf.reduce_sum(errors**2 * counted), tf.reduce_sum(counted))


def negative_mask(query_rows: Tensor, passage_rows: Tensor, known: Tensor, own: Tensor) -> NegativeMask:
    """Find positives and negatives: query_rows [b], passage_rows [c] (-1: absent), known [b, k] (-1: none), own [b].

    known are the passages that answer each query. Of passages with equal text one is a negative; a passage that answers
    the query, in whichever example it stands, is none; nor is, for a positive, a query that it answers.
    """
    answers = tf.reduce_any(known[:, :, None] == passage_rows[None, None, :], axis=1)  # [b, c]
    negative = (_is_first(passage_rows) & (passage_rows >= 0))[None, :] & ~answers  # [b, c]
    is_own = tf.one_hot(own, tf.shape(passage_rows)[0], on_value=True, off_value=False, dtype=tf.bool)  # [b, c]
    answered = tf.transpose(tf.gather(answers, own, axis=1))  # [b, b]: does positive i answer query j
    itself = tf.eye(tf.shape(own)[0], dtype=tf.bool)
    return NegativeMask(own, negative | is_own, (_is_first(query_rows)[None, :] & ~answered) | itself)


def log_likelihood_loss(scores: Tensor, masked_scores: Tensor, own: Tensor) -> Tensor:
    """Mean of -log softmax(masked_scores [b, c or more]) at each query's own positive, whose score is in scores."""
    return tf.reduce_mean(tf.reduce_logsumexp(masked_scores, axis=1) - _own(scores, own))


def two_way_kl_divergence(teacher: Tensor, student: Tensor, counted: Tensor, *, own: Tensor) -> Tensor:
    """KL divergence of the passages' distribution for each query [b, c], and of the queries' for each positive."""
    by_positive, wanted = (tf.transpose(tf.gather(x, own, axis=1)) for x in (student, teacher))  # [b, b]
    everything = tf.ones_like(by_positive, tf.bool)
    return kl_divergence(teacher, student, counted) + kl_divergence(wanted, by_positive, everything)


def kl_divergence(teacher: Tensor, student: Tensor, counted: Tensor) -> Tensor:
    """Mean KL divergence of the student's softmax over each row from the teacher's; all are [b, c]."""
    log_teacher = tf.nn.log_softmax(masked(teacher, counted))
    log_student = tf.nn.log_softmax(masked(student, counted))
    return tf.reduce_mean(tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis=1))


def cosine_distance(vectors: Tensor, targets: Tensor, present: Tensor) -> Tensor:
    """Mean of 1 - cosine between vectors [n, d] and targets [n, d], over the rows that are present [n]."""
    cosines = tf.reduce_sum(tf.math.l2_normalize(vectors, -1, 1e-24) * tf.math.l2_normalize(targets, -1, 1e-24), -1)
    counted = tf.cast(present, vectors.dtype)
    return tf.reduce_sum((1 - cosines) * counted) / tf.reduce_sum(counted)


def masked(scores: Tensor, counted: Tensor) -> Tensor:
    """Scores with those that do not count so low that a softmax gives them nothing."""
    return tf.where(counted, scores, tf.constant(_MASKED, scores.dtype))


def _own(scores: Tensor, own: Tensor) -> Tensor:
    return tf.gather(scores, own, axis=1, batch_dims=1)  # [b]


def _is_first(rows: Tensor) -> Tensor:
    """Whether no equal row stands earlier, [n]."""
    count = tf.shape(rows)[0]
    equal = rows[:, None] == rows[None, :]  # [n, n]
    return tf.argmax(tf.cast(equal, tf.int32), axis=1, output_type=tf.int32) == tf.range(count)
