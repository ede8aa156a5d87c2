"""Examples -> the batch of a step. A batch depends on the data, the settings and the step only: runs resume exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.in_batch_bm25 import Lexical
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows, without_some

_MAX_KNOWN = 64  # positives of a query that a batch lists


class BatchMaker:
    """Makes batches of numpy arrays, as PairModel takes them, from examples."""

    def __init__(self, examples: ExampleStore, settings: Settings, *, total: int, teacher: Teacher | None) -> None:
        """total is the steps of the whole run, from at least one example."""
        self.examples = examples
        self.settings = settings
        self.total = total
        self.teacher = teacher
        self.batch_size = min(settings.batch_size, len(examples))
        self.steps_per_epoch = len(examples) // self.batch_size
        self._lexical = Lexical(examples.queries, examples.passages) if settings.lexical_weight else None
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._by_passage: tuple[NDArray[np.int64], Rows] | None = None
        if settings.topics:
            order = np.argsort(examples.positive_rows, kind="stable")
            self._by_passage = order, examples.positive_rows[order]
        self._queue: tuple[int, Rows] | None = None
        self._latest: tuple[int, NDArray[np.int64], Rows] | None = None

    def batch(self, step: int) -> dict[str, NDArray[Any]]:
        """The batch of a step, counted from 0."""
        settings, store = self.settings, self.examples
        rows, passage_rows = self.rows(step)
        query_rows = store.query_rows[rows]
        known = [store.known_positives(int(row))[:_MAX_KNOWN] for row in query_rows]
        known_rows = np.full((len(rows), max(map(len, known))), -1, np.int32)
        for place, listed in zip(known_rows, known, strict=True):
            place[: len(listed)] = listed
        short = settings.short_passages if step < settings.short_until * self.total else None
        queries = store.queries.padded(query_rows)
        passages = store.passages.padded(passage_rows.reshape(-1), short)
        if settings.word_dropout:
            rng = np.random.default_rng([settings.seed, step, 1])
            queries = without_some(queries, settings.word_dropout, rng)
            passages = without_some(passages, settings.word_dropout, rng)
        each = passage_rows.shape
        queue = self._queue_rows(step)
        batch: dict[str, NDArray[Any]] = {
            "query_ids": queries.token_ids,
            "query_lengths": queries.lengths,
            "query_starts": queries.segment_starts,
            "query_rows": query_rows.astype(np.int32),
            "known_rows": known_rows,
            "passage_ids": passages.token_ids.reshape(*each, -1),
            "passage_lengths": passages.lengths.reshape(each),
            "passage_starts": passages.segment_starts.reshape(each),
            "passage_rows": passage_rows.astype(np.int32),
            "queue_counted": self._negatives(queue, known_rows),
        }
        if self.teacher is not None:
            everything = np.concatenate([passage_rows.reshape(-1), queue])
            asked, found = self.teacher.queries(query_rows), self.teacher.passages(np.maximum(everything, 0))
            batch["query_targets"] = self.teacher.reduced(asked)
            batch["passage_targets"] = self.teacher.reduced(found[: passage_rows.size]).reshape(*each, -1)
            batch["similarities"] = asked @ found.T
            if self._lexical is not None:
                batch["lexical"] = self._lexical.scores(query_rows, np.maximum(everything, 0))
        return batch

    def _negatives(self, queue: Rows, known_rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """1 for each passage of the queue that does not answer the query, [b, m]."""
        answers = (queue[None, :, None] == known_rows[:, None, :]).any(axis=2)
        negatives: NDArray[np.int32] = ((queue >= 0) & ~answers).astype(np.int32)
        return negatives

    def rows(self, step: int) -> tuple[NDArray[np.int64], Rows]:
        """The examples of a step [b], and the passages of each [b, 1 + hard_negatives], -1 where there is none."""
        if self._latest is not None and self._latest[0] == step:
            return self._latest[1:]
        rng = np.random.default_rng([self.settings.seed, step])
        rows = self._topical(rng) if self.settings.topics else self._shuffled(step)
        passages = np.full((len(rows), 1 + self.settings.hard_negatives), -1, np.int64)
        passages[:, 0] = self.examples.positive_rows[rows]
        if self.settings.hard_negatives:
            for place, row in zip(passages, rows.tolist(), strict=True):
                listed = self.examples.hard_negatives(row)
                chosen = rng.permutation(np.array(listed, np.int64))[: self.settings.hard_negatives]
                place[1 : 1 + len(chosen)] = chosen
        self._latest = step, rows, passages
        return rows, passages

    def _shuffled(self, step: int) -> NDArray[np.int64]:
        """The examples of a step where every epoch is another permutation; what fills no batch waits for the next."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (
                epoch,
                np.random.default_rng([self.settings.seed, 1 << 32, epoch]).permutation(len(self.examples)),
            )
        return self._order[1][number * self.batch_size : (number + 1) * self.batch_size]

    def _topical(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Random examples, and with each some of those whose positives are its nearest neighbours by the teacher.

        Topic-aware sampling (Hofstätter et al. 2021), without clusters: negatives in the batch are hard ones.
        """
        assert self.teacher is not None
        assert self._by_passage is not None
        order, sorted_rows = self._by_passage
        topics = min(self.settings.topics, self.batch_size)
        size = -(-self.batch_size // topics)
        seeds = rng.integers(len(self.examples), size=topics)
        near = self.teacher.nearest(self.examples.positive_rows[seeds], self.settings.topic_pool)
        taken: dict[int, int] = {}  # passage -> example
        for seed, pool in zip(seeds.tolist(), near, strict=True):
            own = int(self.examples.positive_rows[seed])
            candidates = [own, *rng.permutation(pool).tolist()]
            fresh = [row for row in dict.fromkeys(candidates) if row not in taken]
            left = size
            for row in fresh:
                first, last = np.searchsorted(sorted_rows, [row, row + 1])
                if first < last and left and len(taken) < self.batch_size:
                    taken[row] = seed if row == own else int(order[rng.integers(first, last)])
                    left -= 1
        missing = self.batch_size - len(taken)
        return np.concatenate([np.fromiter(taken.values(), np.int64), rng.integers(len(self.examples), size=missing)])

    def _queue_rows(self, step: int) -> Rows:
        """The passages that the model's queue holds at the beginning of a step [m], newest first."""
        size = self.settings.queue
        if self._queue is None or self._queue[0] != step:
            rows = np.full(size, -1, np.int64)
            needed = -(-size // (self.batch_size * (1 + self.settings.hard_negatives)))
            for earlier in range(max(step - needed, 0), step):
                rows = self._pushed(rows, earlier)
        else:
            rows = self._queue[1]
        self._queue = (step + 1, self._pushed(rows, step)) if size else None
        return rows

    def _pushed(self, rows: Rows, step: int) -> Rows:
        return np.concatenate([self.rows(step)[1].reshape(-1), rows])[: self.settings.queue]
