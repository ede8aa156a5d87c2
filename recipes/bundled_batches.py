"""The batches of the bundled pair: of few topics, of short passages at first, scored against a queue and by BM25."""

from __future__ import annotations

from typing import Any

import numpy as np
from in_batch_bm25 import InBatchBM25
from numpy.typing import NDArray

from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows
from dpr_tiny_retriever.training.validated import Count, CountOrZero, Share, TextLength, Validated

_SCORES_AT_ONCE = 1 << 24


class BatchExtras(Validated, frozen=True, kw_only=True):
    """What the batches of a stage have beyond the package's."""

    topics: CountOrZero = 0
    """Batches of this many topics: random examples and those nearest by the teacher. 0: random examples."""
    topic_pool: Count = 48
    """Nearest passages of which a topic's examples are drawn."""
    short_passages: TextLength | None = None
    """Tokens to which passages are cut before short_until, for faster early steps."""
    short_until: Share = 0.5
    """The share of the steps that short_passages holds for."""
    queue: CountOrZero = 0
    """Passages of former batches that the current questions are scored against too."""
    bm25: bool = False
    """Whether a batch has BM25 scores."""


class BundledBatches(BatchMaker):
    """Batches with up to three further entries, m being the queue's length and c the passages of the batch.

    queue_counted int32 [b, m]: 1 for the queue's passages that are negatives of the query; queue_similarities [b, m] by
    the teacher; bm25 [b, c + m].
    """

    def __init__(
        self,
        examples: ExampleStore,
        settings: Settings,
        teacher: Teacher | None,
        *,
        extras: BatchExtras,
    ) -> None:
        super().__init__(examples, settings, teacher)
        if teacher is None:
            raise ValueError("the recipe has no teacher; expected --teacher")
        self._nearest = NearestPassages(teacher)
        self.extras = extras
        self._bm25 = InBatchBM25(examples.queries, examples.passages) if extras.bm25 else None
        self._by_passage = np.argsort(examples.positive_rows, kind="stable")
        self._sorted_positives = examples.positive_rows[self._by_passage]
        self._latest: tuple[int, tuple[NDArray[np.int64], Rows]] | None = None
        self._queue: tuple[int, Rows] | None = None

    def batch(self, step: int) -> dict[str, Any]:
        batch = super().batch(step)
        assert self.teacher is not None
        rows, passage_rows = self.rows(step)
        query_rows = self.examples.query_rows[rows]
        queue = self._queue_rows(step)
        if self.extras.queue:
            answers = (queue[None, :, None] == batch["known_rows"][:, None, :]).any(axis=2)
            batch["queue_counted"] = ((queue >= 0) & ~answers).astype(np.int32)
            batch["queue_similarities"] = (
                self.teacher.queries(query_rows) @ self.teacher.passages(np.maximum(queue, 0)).T
            )
        if self._bm25 is not None:
            every_passage = np.concatenate([passage_rows.reshape(-1), queue])
            batch["bm25"] = self._bm25.scores(query_rows, np.maximum(every_passage, 0))
        return batch

    def rows(self, step: int) -> tuple[NDArray[np.int64], Rows]:
        if self._latest is None or self._latest[0] != step:
            self._latest = step, super().rows(step)
        return self._latest[1]

    def max_passage_length(self, step: int) -> int:
        limit = super().max_passage_length(step)
        short = self.extras.short_passages
        return short if short is not None and step < self.extras.short_until * self.total_steps else limit

    def choose_examples(self, step: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Random examples, and with each some of those whose positives are its nearest neighbours by the teacher.

        Topic-aware sampling (Hofstätter et al. 2021), without clusters: negatives in the batch are hard ones.
        """
        if not self.extras.topics:
            return super().choose_examples(step, rng)
        topics = min(self.extras.topics, self.batch_size)
        size = -(-self.batch_size // topics)
        seeds = rng.integers(len(self.examples), size=topics)
        near = self._nearest.search(self.examples.positive_rows[seeds], self.extras.topic_pool)
        taken: dict[int, int] = {}  # passage -> example
        for seed, pool in zip(seeds.tolist(), near, strict=True):
            own = int(self.examples.positive_rows[seed])
            candidates = [own, *rng.permutation(pool).tolist()]
            fresh = [row for row in dict.fromkeys(candidates) if row not in taken]
            left = size
            for row in fresh:
                first, last = np.searchsorted(self._sorted_positives, [row, row + 1])
                if first < last and left and len(taken) < self.batch_size:
                    taken[row] = seed if row == own else int(self._by_passage[rng.integers(first, last)])
                    left -= 1
        missing = self.batch_size - len(taken)
        return np.concatenate([np.fromiter(taken.values(), np.int64), rng.integers(len(self.examples), size=missing)])

    def _queue_rows(self, step: int) -> Rows:
        """The passages that the model's queue holds at the beginning of a step [m], newest first."""
        size = self.extras.queue
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
        return np.concatenate([self.rows(step)[1].reshape(-1), rows])[: self.extras.queue]


class NearestPassages:
    """Nearest neighbours among the teacher's reduced vectors of all passages, kept: every step looks through them."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._vectors: NDArray[np.float32] | None = None

    def search(self, rows: Rows, k: int) -> NDArray[np.int64]:
        """The k nearest passages of each of these passages [n, k], in no order."""
        every = self._every_vector()
        k = min(k, len(every))
        size = max(1, _SCORES_AT_ONCE // len(every))
        nearest = []
        for start in range(0, len(rows), size):
            scores = every[rows[start : start + size]] @ every.T
            nearest.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
        return np.concatenate(nearest)

    def _every_vector(self) -> NDArray[np.float32]:
        if self._vectors is None:
            self._vectors = self._teacher.reduced(self._teacher.passages(np.arange(self._teacher.num_passages)))
            if self._teacher.similarity == "cosine":
                self._vectors /= np.maximum(np.linalg.norm(self._vectors, axis=1, keepdims=True), 1e-12)
        return self._vectors
