"""The Keras model that trains a pair: one step is vectors, losses over the global batch, gradients, update."""

from __future__ import annotations

import itertools
from typing import Any, TypedDict

import keras
import tensorflow as tf

from dpr_tiny_retriever.training import losses as loss
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.trainable_encoder import Drop, Texts, Tower
from dpr_tiny_retriever.types import Similarity

Tensor = Any

#: A batch is encoded in so many parts of like length, each padded to its own longest text.
_PARTS = 4


class Batch(TypedDict, total=False):
    """b examples of n = 1 + hard_negatives passages each, the positive first. Every tensor's first axis is b.

    The last four are there with a teacher; m is the queue's length, c = b * n, t the teacher's width after reduction.
    """

    query_ids: Tensor  # [b, l] int32
    query_lengths: Tensor  # [b]
    query_starts: Tensor  # [b]
    query_rows: Tensor  # [b] equal where queries are equal
    known_rows: Tensor  # [b, k] passages that answer the query, -1 for none
    passage_ids: Tensor  # [b, n, l]
    passage_lengths: Tensor  # [b, n]
    passage_starts: Tensor  # [b, n]
    passage_rows: Tensor  # [b, n] -1 for an absent one
    queue_counted: Tensor  # [b, m] int32: 1 for the queue's passages that are negatives of the query
    query_targets: Tensor  # [b, t]
    passage_targets: Tensor  # [b, n, t]
    similarities: Tensor  # [b, c + m] by the teacher
    lexical: Tensor  # [b, c + m] BM25


class PairModel(keras.Model):  # type: ignore[misc]
    """A pair of towers, tied where both are one, trained on the batches of a tf.data.Dataset by fit().

    Under a tf.distribute strategy the loss is that of the global batch: vectors are gathered over the replicas.
    """

    def __init__(
        self,
        query: Tower,
        passage: Tower,
        settings: Settings,
        *,
        similarity: Similarity,
        temperature: float,
        teacher_temperature: float = 1.0,
    ) -> None:
        super().__init__(name="pair")
        self.query_tower = query
        self.passage_tower = passage
        self.settings = settings
        self.similarity = similarity
        self.temperature = temperature
        self.teacher_temperature = teacher_temperature
        # Queue vectors are the same in every replica: each gathers the whole batch.
        self.queue = self.add_weight(
            shape=(settings.queue, query.config.embedding_dim),
            initializer="zeros",
            trainable=False,
            name="queue",
            aggregation="only_first_replica",
        )
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._parts = max(1, min(_PARTS, settings.batch_size // replicas))
        self.built = True

    @property
    def tied(self) -> bool:
        """Whether both sides are one encoder."""
        return self.query_tower is self.passage_tower

    @property
    def steps_made(self) -> int:
        """How many optimisation steps this model has had, those of earlier parts of the run included."""
        return int(self.optimizer.iterations.value.numpy())

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Make one optimisation step; returns the losses and the share of queries that rank their positive first."""
        gradients, report = self.gradients(batch)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Summed here, so that the global gradient is clipped, and not each replica's part of it. The optimiser
            # sums once more.
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [gradient / context.num_replicas_in_sync for gradient in gradients]
        self.optimizer.apply(gradients, self.trainable_variables)
        return report

    def gradients(self, batch: Batch) -> tuple[list[Tensor], dict[str, Tensor]]:
        """This replica's part of the gradients by trainable_variables, and the losses of the global batch."""
        texts = {"query": _queries(batch), "passage": _passages(batch)}
        towers = {"query": self.query_tower, "passage": self.passage_tower}
        size = self.settings.chunk_size
        if size is None:
            with tf.GradientTape() as tape:
                vectors = {
                    side: towers[side].encode_sorted(texts[side], self._parts, self._drop(side, 0)) for side in towers
                }
                objective, report, fresh = self._objective(batch, vectors["query"], vectors["passage"])
                objective = self._scaled(objective)
            gradients = [tf.convert_to_tensor(g) for g in tape.gradient(objective, self._variables())]
        else:
            # Gradient caching: vectors first, then the loss's gradients by them, then each chunk's share of both.
            def drop(side: str) -> Any:
                return lambda chunk: self._drop(side, chunk)

            vectors = {side: towers[side].encode_in_chunks(texts[side], size, drop(side)) for side in towers}
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                objective, report, fresh = self._objective(batch, vectors["query"], vectors["passage"])
                objective = self._scaled(objective)
            upstream = tape.gradient(objective, vectors)
            parts = [towers[side].gradients_in_chunks(texts[side], upstream[side], size, drop(side)) for side in towers]
            gradients = [a + b for a, b in zip(*parts, strict=True)] if self.tied else [*parts[0], *parts[1]]
        if self.settings.queue:
            self.queue.assign(tf.concat([fresh, self.queue.value], 0)[: self.settings.queue])
        return gradients, report

    def _variables(self) -> list[Tensor]:
        return self.query_tower.tensors() + ([] if self.tied else self.passage_tower.tensors())

    def _scaled(self, objective: Tensor) -> Tensor:
        """The objective times what half precision needs; gradients of all replicas together are the global one."""
        scaled = self.optimizer.scale_loss(objective) if getattr(self, "optimizer", None) is not None else objective
        return scaled / tf.distribute.get_replica_context().num_replicas_in_sync

    def _objective(self, batch: Batch, queries: Tensor, passages: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        settings = self.settings
        if self.similarity == "cosine":
            queries, passages = (tf.math.l2_normalize(x, -1, 1e-24) for x in (queries, passages))
        each = tf.shape(batch["passage_rows"])[1]  # n
        queries, passages = _gathered(queries), _gathered(passages)  # [b, d], [c, d]
        passage_rows = _gathered(tf.reshape(batch["passage_rows"], [-1]))  # [c]
        query_rows, known = _gathered(batch["query_rows"]), _gathered(batch["known_rows"])
        own = tf.range(tf.shape(queries)[0]) * each
        where = loss.columns(query_rows, passage_rows, known, own)

        similarities = tf.matmul(queries, passages, transpose_b=True)  # [b, c]
        scores = similarities / self.temperature
        queue_scores, queue_counted = None, None
        if settings.queue:
            queue_counted = _gathered(batch["queue_counted"]) > 0
            queue_scores = loss.masked_scores(
                tf.matmul(queries, self.queue.value, transpose_b=True) / self.temperature, queue_counted
            )
        parts: dict[str, Tensor] = {}
        if settings.contrastive_weight:
            parts["contrastive"] = loss.contrastive(scores, where, symmetric=settings.symmetric, queue=queue_scores)
        present = passage_rows >= 0
        if settings.match_weight:
            targets = _gathered(tf.reshape(batch["passage_targets"], [tf.size(batch["passage_rows"]), -1]))
            query_part = loss.mismatch(queries, _gathered(batch["query_targets"]), tf.ones_like(query_rows, tf.bool))
            parts["match"] = query_part + loss.mismatch(passages, targets, present)
        if settings.kl_weight or settings.margin_weight:
            teacher = _gathered(batch["similarities"])  # [b, c + m]
        if settings.kl_weight:
            wanted = teacher / self.teacher_temperature
            if settings.lexical_weight:
                wanted += settings.lexical_weight * _gathered(batch["lexical"])
            count = tf.shape(scores)[1]
            turned, wanted_turned = (
                tf.transpose(tf.gather(x, own, axis=1)) for x in (scores, wanted[:, :count])
            )  # [b, b]
            given, everything = scores, tf.broadcast_to(present[None, :], tf.shape(scores))
            if queue_scores is not None:
                given = tf.concat([scores, queue_scores], 1)
                everything = tf.concat([everything, queue_counted], 1)
            parts["kl"] = loss.divergence(wanted, given, everything) + loss.divergence(
                wanted_turned, turned, tf.ones_like(turned, tf.bool)
            )
        if settings.margin_weight:
            parts["margin"] = loss.margin_error(teacher[:, : tf.shape(scores)[1]], similarities, where)
        total = tf.add_n([getattr(settings, f"{name}_weight") * part for name, part in parts.items()])
        best = tf.argmax(loss.masked_scores(scores, where.counted), axis=1, output_type=tf.int32)
        report = {"loss": total, **{name: part for name, part in parts.items() if len(parts) > 1}}
        report["accuracy"] = tf.reduce_mean(tf.cast(best == own, tf.float32))
        return total, report, tf.stop_gradient(passages)

    def _drop(self, side: str, chunk: Tensor) -> Drop:
        """Dropout for one chunk of one side: the same whenever this step is made, another at every call of it."""
        rate = self.settings.dropout
        if not rate:
            return Drop()
        context = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(self.settings.seed, tf.int64), tf.cast(self.optimizer.iterations.value, tf.int64)])
        for salt in (("query", "passage").index(side), context.replica_id_in_sync_group, chunk):
            seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(salt, tf.int64))
        calls = itertools.count()

        def drop(x: Tensor) -> Tensor:
            salted = tf.random.experimental.stateless_fold_in(seed, next(calls))
            return tf.nn.experimental.stateless_dropout(x, rate, seed=salted)

        return Drop(drop, self.settings.dropout_inside)


def _queries(batch: Batch) -> Texts:
    return Texts(batch["query_ids"], batch["query_lengths"], batch["query_starts"])


def _passages(batch: Batch) -> Texts:
    ids = batch["passage_ids"]
    flat = tf.reshape(ids, [-1, tf.shape(ids)[2]])  # [c, l]
    return Texts(flat, tf.reshape(batch["passage_lengths"], [-1]), tf.reshape(batch["passage_starts"], [-1]))


def _gathered(x: Tensor) -> Tensor:
    """The rows of all replicas, with gradients."""
    context = tf.distribute.get_replica_context()
    return x if context.num_replicas_in_sync == 1 else context.all_gather(x, axis=0)
