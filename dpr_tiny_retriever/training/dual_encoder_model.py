"""The Keras model that trains a pair: one step is vectors, losses over the global batch, gradients, update."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import keras
import tensorflow as tf

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.training.batches import Batch, BatchMaker
from dpr_tiny_retriever.training.initialisation import is_tied
from dpr_tiny_retriever.training.losses import (
    TEMPERATURES,
    BatchScores,
    Loss,
    QueueScores,
    TeacherScores,
    masked,
    negative_mask,
)
from dpr_tiny_retriever.training.optimization import OptimizedModel
from dpr_tiny_retriever.training.trainable_encoder import Dropout, TrainableEncoder
from dpr_tiny_retriever.types import Tensor

#: A batch is encoded in so many parts of like length, each padded to its own longest text.
_PARTS = 4


class DualEncoderModel(OptimizedModel):
    """A pair of encoders, tied where both are one, trained on the batches of a tf.data.Dataset by fit().

    Under a tf.distribute strategy the loss is that of the global batch: vectors are gathered over the replicas.
    """

    def __init__(self, start: DualEncoder, maker: BatchMaker, losses: Sequence[Loss]) -> None:
        """A model that begins with the weights of start."""
        super().__init__(name="pair")
        settings = maker.settings
        query, passage = (
            TrainableEncoder(
                encoder.config,
                encoder.weights,
                compute_dtype=settings.precision,
                compiled=settings.compiled,
                dropout_inside=settings.regularization.dropout_inside,
                name=name,
            )
            for name, encoder in (("query", start.query_encoder), ("passage", start.passage_encoder))
        )
        self.query_encoder = query
        self.passage_encoder = query if is_tied(start) else passage
        self.settings = settings
        self.terms = list(losses)
        self.similarity = start.similarity
        self.temperature = settings.losses.temperature or TEMPERATURES[start.similarity]
        self.teacher_temperature = TEMPERATURES[maker.teacher.similarity if maker.teacher else "cosine"]
        self.queue = self._new_queue(settings.batches.queue) if settings.batches.queue else None
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._parts = max(1, min(_PARTS, settings.batches.size // replicas))
        self.built = True

    @property
    def tied(self) -> bool:
        """Whether both sides are one encoder."""
        return self.query_encoder is self.passage_encoder

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Make one optimization step; returns the losses and the share of queries that rank their positive first."""
        gradients, report = self.gradients(batch)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Summed here, so that the global gradient is clipped, and not each replica's part of it. The optimizer
            # sums once more.
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [gradient / context.num_replicas_in_sync for gradient in gradients]
        self.optimizer.apply(gradients, self.trainable_variables)
        return report

    def gradients(self, batch: Batch) -> tuple[list[Tensor], dict[str, Tensor]]:
        """This replica's part of the gradients by trainable_variables, and the losses of the global batch."""
        texts = {"query": batch["queries"], "passage": _flat(batch["passages"])}
        encoders = {"query": self.query_encoder, "passage": self.passage_encoder}
        if self.settings.batches.chunk_size is None:
            tensors = [variable.value for variable in self.trainable_variables]
            with tf.GradientTape() as tape:
                vectors = {
                    side: encoder.forward_sorted(texts[side], self._parts, self._dropout(side, 0))
                    for side, encoder in encoders.items()
                }
                objective, report = self.objective(batch, vectors["query"], vectors["passage"])
                objective = self._scaled(objective)
            return [tf.convert_to_tensor(g) for g in tape.gradient(objective, tensors)], report
        return self._gradients_in_chunks(batch, texts, encoders, self.settings.batches.chunk_size)

    def objective(self, batch: Batch, queries: Tensor, passages: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses of vectors of this replica's texts, and what is reported of the step."""
        scores = self.score(batch, queries, passages)
        values = {loss.name: loss.value(scores) for loss in self.terms}
        total = tf.add_n([loss.weight * values[loss.name] for loss in self.terms])
        best = tf.argmax(masked(scores.scores, scores.mask.is_negative_or_own), axis=1, output_type=tf.int32)
        report = {"loss": total, **(values if len(values) > 1 else {})}
        report["accuracy"] = tf.reduce_mean(tf.cast(best == scores.mask.own, tf.float32))
        return total, report

    def score(self, batch: Batch, queries: Tensor, passages: Tensor) -> BatchScores:
        """The scores of the global batch, for the losses."""
        if self.similarity == "cosine":
            queries, passages = (tf.math.l2_normalize(x, -1, 1e-24) for x in (queries, passages))
        each = tf.shape(batch["passage_rows"])[1]  # n
        queries, passages = gathered(queries), gathered(passages)  # [b, d], [c, d]
        passage_rows = gathered(tf.reshape(batch["passage_rows"], [-1]))  # [c]
        own = tf.range(tf.shape(queries)[0]) * each
        similarities = tf.matmul(queries, passages, transpose_b=True)  # [b, c]
        return BatchScores(
            queries,
            passages,
            similarities,
            similarities / self.temperature,
            self.temperature,
            negative_mask(gathered(batch["query_rows"]), passage_rows, gathered(batch["known_rows"]), own),
            present=passage_rows >= 0,
            teacher=self._teacher_scores(batch) if "teacher_queries" in batch else None,
            queue=None if self.queue is None else self._queue_scores(self.queue, batch, queries, passages),
            bm25=gathered(batch["bm25"]) if "bm25" in batch else None,
        )

    def _new_queue(self, size: int) -> keras.Variable:
        """The vectors [m, d] of former passages, newest first, the same in every replica."""
        return self.add_weight(
            shape=(size, self.query_encoder.config.embedding_dim),
            initializer="zeros",
            trainable=False,
            name="queue",
            aggregation="only_first_replica",
        )

    def _queue_scores(self, queue: keras.Variable, batch: Batch, queries: Tensor, passages: Tensor) -> QueueScores:
        """The scores of the queries [b, d] against the queue, to which the passages [c, d] are then put."""
        former = tf.identity(queue.value)  # [m, d]
        queue.assign(tf.concat([tf.stop_gradient(passages), former], 0)[: queue.shape[0]])
        return QueueScores(
            tf.matmul(queries, former, transpose_b=True) / self.temperature,
            gathered(batch["queue_counted"]) > 0,
            gathered(batch["queue_similarities"]) if "queue_similarities" in batch else None,
        )

    def _teacher_scores(self, batch: Batch) -> TeacherScores:
        passages = batch["teacher_passages"]  # [b, n, t]
        return TeacherScores(
            gathered(batch["teacher_queries"]),
            gathered(tf.reshape(passages, [tf.size(batch["passage_rows"]), passages.shape[-1]])),
            gathered(batch["teacher_similarities"]),
            self.teacher_temperature,
        )

    def _gradients_in_chunks(
        self, batch: Batch, texts: dict[str, TokenBatch], encoders: dict[str, TrainableEncoder], size: int
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradient caching: vectors first, then the loss's gradients by them, then each chunk's share of both."""
        dropout = {side: functools.partial(self._dropout, side) for side in encoders}
        vectors = {side: encoders[side].forward_in_chunks(texts[side], size, dropout[side]) for side in encoders}
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            objective, report = self.objective(batch, vectors["query"], vectors["passage"])
            objective = self._scaled(objective)
        upstream = tape.gradient(objective, vectors)
        parts = [
            encoders[side].gradients_in_chunks(texts[side], upstream[side], size, dropout[side]) for side in encoders
        ]
        return ([a + b for a, b in zip(*parts, strict=True)] if self.tied else [*parts[0], *parts[1]]), report

    def _scaled(self, objective: Tensor) -> Tensor:
        """The objective times what half precision needs; gradients of all replicas together are the global one."""
        scaled = self.optimizer.scale_loss(objective) if getattr(self, "optimizer", None) is not None else objective
        return scaled / tf.distribute.get_replica_context().num_replicas_in_sync

    def _dropout(self, side: str, chunk: Tensor) -> Dropout | None:
        """Dropout for one chunk of one side: deterministic per step, different at every call site.

        Gradient caching encodes each chunk twice, with the same dropout.
        """
        rate = self.settings.regularization.dropout
        if not rate:
            return None
        context = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(self.settings.seed, tf.int64), tf.cast(self.optimizer.iterations.value, tf.int64)])
        for salt in (("query", "passage").index(side), context.replica_id_in_sync_group, chunk):
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(salt, tf.int64))
        calls = itertools.count()

        def dropout(x: Tensor) -> Tensor:
            salted = tf.random.experimental.stateless_fold_in(seed, next(calls))
            return tf.nn.experimental.stateless_dropout(x, rate, seed=salted)

        return dropout


def gathered(x: Tensor) -> Tensor:
    """The rows of all replicas, with gradients."""
    context = tf.distribute.get_replica_context()
    return x if context.num_replicas_in_sync == 1 else context.all_gather(x, axis=0)


def _flat(passages: TokenBatch) -> TokenBatch:
    """The passages [b, n, ...] of all questions one after the other, [c, ...]."""
    ids = tf.reshape(passages.ids, [-1, tf.shape(passages.ids)[2]])  # [c, l]
    return TokenBatch(ids, tf.reshape(passages.lengths, [-1]), tf.reshape(passages.segment_starts, [-1]))
