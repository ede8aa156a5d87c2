"""Topic-aware sampling (Hofstätter et al. 2021) without clusters, so that negatives in the batch are hard ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.training.distillation import Teacher
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows

_SCORES_AT_ONCE = 1 << 24


class TopicSampler:
    """Draws random examples, and with each some of those whose positives are its nearest neighbours by the teacher."""

    def __init__(self, examples: ExampleStore, teacher: Teacher, *, topics: int, pool: int) -> None:
        """topics of a batch; pool is of how many nearest passages the examples of a topic are drawn."""
        self._examples = examples
        self._nearest = NearestPassages(teacher)
        self._topics = topics
        self._pool = pool
        self._by_passage = np.argsort(examples.positive_rows, kind="stable")
        self._sorted_positives = examples.positive_rows[self._by_passage]

    def choose(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The rows [size] of one batch's examples; where topics give too few, others are random."""
        examples, topics = self._examples, min(self._topics, size)
        seeds = rng.integers(len(examples), size=topics)
        taken: dict[int, int] = {}  # passage -> example
        for seed, pool in zip(
            seeds.tolist(), self._nearest.search(examples.positive_rows[seeds], self._pool), strict=True
        ):
            own, left = int(examples.positive_rows[seed]), -(-size // topics)
            candidates = [own, *rng.permutation(pool).tolist()]
            fresh = [row for row in dict.fromkeys(candidates) if row not in taken]
            for row in fresh:
                first, last = np.searchsorted(self._sorted_positives, [row, row + 1])
                if first < last and left and len(taken) < size:
                    taken[row] = seed if row == own else int(self._by_passage[rng.integers(first, last)])
                    left -= 1
        missing = size - len(taken)
        return np.concatenate([np.fromiter(taken.values(), np.int64), rng.integers(len(examples), size=missing)])


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
