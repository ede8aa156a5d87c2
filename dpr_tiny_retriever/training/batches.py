"""Examples -> the batch of a step. A batch depends on data, settings and step alone, so that runs resume exactly."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.in_batch_bm25 import InBatchBM25
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows, drop_word_pieces
from dpr_tiny_retriever.training.topics import TopicSampler
from dpr_tiny_retriever.types import Tensor

_MAX_KNOWN = 64  # positives of a query that a batch lists


class Batch(TypedDict, total=False):
    """b examples of n = 1 + hard_negatives passages each, the positive first. Every tensor's first axis is b.

    c = b * n, m passages are in the queue, t is the teacher's width after reduction. What a run does not use is absent.
    """

    queries: TokenBatch  # ids [b, l]
    query_rows: Tensor  # [b] int32, equal where queries are equal
    known_rows: Tensor  # [b, k] int32: passages that answer the query, -1 for none
    passages: TokenBatch  # ids [b, n, l]
    passage_rows: Tensor  # [b, n] int32, -1 for an absent one
    teacher_queries: Tensor  # [b, t]
    teacher_passages: Tensor  # [b, n, t]
    teacher_similarities: Tensor  # [b, c] of the teacher's full vectors
    queue_counted: Tensor  # [b, m] int32: 1 for passages of the queue that are negatives of the query
    queue_similarities: Tensor  # [b, m] by the teacher
    bm25: Tensor  # [b, c + m]


class BatchMaker:
    """Makes the batches of a run, of numpy arrays."""

    def __init__(self, examples: ExampleStore, settings: Settings, teacher: Teacher | None) -> None:
        """A batch has at most as many questions as there are examples.

        Raises ValueError for topics without a teacher.
        """
        self.batch_size = min(settings.batches.size, len(examples))
        batches = msgspec.structs.replace(settings.batches, size=self.batch_size)
        self.settings = msgspec.structs.replace(settings, batches=batches)
        self.examples = examples
        self.teacher = teacher
        self.steps_per_epoch = len(examples) // self.batch_size
        self.total_steps = settings.schedule.steps or settings.schedule.epochs * self.steps_per_epoch
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._latest: tuple[int, tuple[NDArray[np.int64], Rows]] | None = None
        self._queue: tuple[int, Rows] | None = None
        kl = settings.losses.kl_divergence
        self._bm25 = InBatchBM25(examples.queries, examples.passages) if kl is not None and kl.bm25_weight else None
        self._topics: TopicSampler | None = None
        if batches.topics:
            if teacher is None:
                raise ValueError("batches.topics is set, and there is no teacher; expected one, which finds the topics")
            self._topics = TopicSampler(examples, teacher, topics=batches.topics, pool=batches.topic_pool)

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, counted from 0: arrays as Batch describes them."""
        rows, passage_rows = self.rows(step)
        query_rows = self.examples.query_rows[rows]
        queries = self.examples.queries.padded(query_rows)
        passages = self.examples.passages.padded(passage_rows.reshape(-1), self.max_passage_length(step))
        share = self.settings.regularization.word_dropout
        if share:
            rng = np.random.default_rng([self.settings.seed, step, 1])
            queries, passages = (drop_word_pieces(texts, share, rng) for texts in (queries, passages))
        shape = passage_rows.shape
        batch: dict[str, Any] = {
            "queries": queries,
            "query_rows": query_rows.astype(np.int32),
            "known_rows": self._known_rows(query_rows),
            "passages": TokenBatch(*(part.reshape(*shape, *part.shape[1:]) for part in passages)),
            "passage_rows": passage_rows.astype(np.int32),
        }
        if self.teacher is not None:
            of_queries = self.teacher.queries(query_rows)
            of_passages = self.teacher.passages(np.maximum(passage_rows.reshape(-1), 0))
            batch["teacher_queries"] = self.teacher.reduced(of_queries)
            batch["teacher_passages"] = self.teacher.reduced(of_passages).reshape(*shape, -1)
            batch["teacher_similarities"] = of_queries @ of_passages.T
        queue = self._queue_rows(step)
        if len(queue):
            answers = (queue[None, :, None] == batch["known_rows"][:, None, :]).any(axis=2)
            batch["queue_counted"] = ((queue >= 0) & ~answers).astype(np.int32)
            if self.teacher is not None:
                batch["queue_similarities"] = of_queries @ self.teacher.passages(np.maximum(queue, 0)).T
        if self._bm25 is not None:
            every_passage = np.concatenate([passage_rows.reshape(-1), queue])
            batch["bm25"] = self._bm25.scores(query_rows, np.maximum(every_passage, 0))
        return batch

    def rows(self, step: int) -> tuple[NDArray[np.int64], Rows]:
        """The examples of a step [b], and the passages of each [b, 1 + hard_negatives], -1 where there is none."""
        if self._latest is None or self._latest[0] != step:
            self._latest = step, self._chosen_rows(step)
        return self._latest[1]

    def max_passage_length(self, step: int) -> int:
        """The tokens to which the passages of a step are cut."""
        batches = self.settings.batches
        if batches.short_passages is not None and step < batches.short_until * self.total_steps:
            return batches.short_passages
        return batches.max_passage_length

    def _chosen_rows(self, step: int) -> tuple[NDArray[np.int64], Rows]:
        count = self.settings.batches.hard_negatives
        rng = np.random.default_rng([self.settings.seed, step])
        rows = self._topics.choose(self.batch_size, rng) if self._topics is not None else self._in_epoch(step)
        passages = np.full((len(rows), 1 + count), -1, np.int64)
        passages[:, 0] = self.examples.positive_rows[rows]
        if count:
            for place, row in zip(passages, rows.tolist(), strict=True):
                listed = self.examples.hard_negatives(row)
                chosen = rng.permutation(np.array(listed, np.int64))[:count]
                place[1 : 1 + len(chosen)] = chosen
        return rows, passages

    def _in_epoch(self, step: int) -> NDArray[np.int64]:
        """Rows [b] of one step: each epoch is a new permutation, and its incomplete last batch is dropped."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            of_epoch = np.random.default_rng([self.settings.seed, 1 << 32, epoch])
            self._order = epoch, of_epoch.permutation(len(self.examples))
        return self._order[1][number * self.batch_size : (number + 1) * self.batch_size]

    def _queue_rows(self, step: int) -> Rows:
        """The passages that the model's queue holds at the beginning of a step [m], newest first."""
        size = self.settings.batches.queue
        if self._queue is None or self._queue[0] != step:
            rows = np.full(size, -1, np.int64)
            needed = -(-size // (self.batch_size * (1 + self.settings.batches.hard_negatives)))
            for earlier in range(max(step - needed, 0), step):
                rows = self._pushed(rows, earlier)
        else:
            rows = self._queue[1]
        self._queue = (step + 1, self._pushed(rows, step)) if size else None
        return rows

    def _pushed(self, rows: Rows, step: int) -> Rows:
        return np.concatenate([self.rows(step)[1].reshape(-1), rows])[: self.settings.batches.queue]

    def _known_rows(self, query_rows: Rows) -> NDArray[np.int32]:
        known = [self.examples.known_positives(int(row))[:_MAX_KNOWN] for row in query_rows]
        known_rows = np.full((len(query_rows), max(map(len, known))), -1, np.int32)
        for place, listed in zip(known_rows, known, strict=True):
            place[: len(listed)] = listed
        return known_rows


def batch_signature(batch: dict[str, Any]) -> dict[str, Any]:
    """Shapes and types of every batch like this one; the lengths of texts and of lists of positives are open."""

    def signature(array: NDArray[Any], *, is_open: bool = False) -> tf.TensorSpec:
        return tf.TensorSpec([*array.shape[:-1], None] if is_open else array.shape, tf.as_dtype(array.dtype))

    found: dict[str, Any] = tf.nest.map_structure(signature, batch)
    for name, part in batch.items():
        if isinstance(part, TokenBatch):
            found[name] = found[name]._replace(ids=signature(part.ids, is_open=True))
        elif name == "known_rows":
            found[name] = signature(part, is_open=True)
    return found
