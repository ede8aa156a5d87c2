"""The losses of the bundled pair: over a queue of former passages, and towards a teacher blended with BM25."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from dpr_tiny_retriever.training.batches import Batch
from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.losses import BatchScores, Loss, log_likelihood_loss, masked, two_way_kl_divergence
from dpr_tiny_retriever.training.validated import NotNegative
from dpr_tiny_retriever.types import Tensor


class QueuedContrastive(Loss, frozen=True, kw_only=True):
    """As Contrastive, with the passages of the queue as further negatives."""

    name: ClassVar[str] = "contrastive"

    def value(self, batch: BatchScores) -> Tensor:
        candidates = masked(batch.scores, batch.mask.is_negative_or_own)  # [b, c]
        if "queue_scores" in batch.extras:
            queue = masked(batch.extras["queue_scores"], batch.extras["queue_counted"] > 0)
            candidates = tf.concat([candidates, queue], axis=1)  # [b, c + m]
        return log_likelihood_loss(batch.scores, candidates, batch.mask.own)


class BlendedKLDivergence(Loss, frozen=True, kw_only=True):
    """As KLDivergence over the batch and the queue, from the teacher's scores plus BM25 times bm25_weight."""

    name: ClassVar[str] = "kl_divergence"
    uses_teacher: ClassVar[bool] = True
    bm25_weight: NotNegative = 0.0

    def value(self, batch: BatchScores) -> Tensor:
        teacher, extras = batch.taught(), batch.extras
        student, wanted = batch.scores, teacher.similarities
        counted = tf.broadcast_to(batch.present[None, :], tf.shape(student))
        if "queue_scores" in extras:
            student = tf.concat([student, extras["queue_scores"]], 1)  # [b, c + m]
            wanted = tf.concat([wanted, extras["queue_similarities"]], 1)
            counted = tf.concat([counted, extras["queue_counted"] > 0], 1)
        wanted /= teacher.temperature
        if self.bm25_weight:
            wanted += self.bm25_weight * extras["bm25"]
        return two_way_kl_divergence(wanted, student, counted, own=batch.mask.own)


class QueueModel(DualEncoderModel):
    """A model that keeps the vectors of former passages, newest first, and scores the queries against them too."""

    def __init__(self, *arguments: Any, queue: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The same in every replica: each gathers the whole batch.
        self.queue = self.add_weight(
            shape=(queue, self.query_encoder.config.embedding_dim),
            initializer="zeros",
            trainable=False,
            name="queue",
            aggregation="only_first_replica",
        )

    def score(self, batch: Batch, queries: Tensor, passages: Tensor) -> BatchScores:
        scores = super().score(batch, queries, passages)
        former = tf.identity(self.queue.value)  # [m, d]
        queue_scores = tf.matmul(scores.queries, former, transpose_b=True) / scores.temperature  # [b, m]
        self.queue.assign(tf.concat([tf.stop_gradient(scores.passages), former], 0)[: self.queue.shape[0]])
        return scores._replace(extras={**scores.extras, "queue_scores": queue_scores})
