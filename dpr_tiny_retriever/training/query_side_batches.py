"""Questions and a teacher's vectors of them -> the batch of a step, which depends on these, settings and step alone."""

from __future__ import annotations

import hashlib
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer
from dpr_tiny_retriever.training.query_side_settings import QuerySideSettings
from dpr_tiny_retriever.training.token_store import Rows, TokenStore
from dpr_tiny_retriever.types import Tensor, Vectors

_DIGESTED = 1000  # vectors


class QuestionBatch(TypedDict):
    """b questions, and the teacher's vectors of them in unit length."""

    queries: TokenBatch  # ids [b, l]
    targets: Tensor  # [b, d]


class QuestionBatchMaker:
    """Makes batches of numpy arrays; each epoch is a new permutation, and its incomplete last batch is dropped."""

    def __init__(
        self,
        questions: TokenStore,
        vectors: NDArray[np.floating],
        settings: QuerySideSettings,
        tokenizer: PairTokenizer,
    ) -> None:
        """vectors [n, d] are the teacher's. A batch has at most as many questions as are trained on."""
        self.questions = questions
        self.settings = settings
        self._vectors = vectors
        drawn = np.random.default_rng([settings.seed, 1 << 33]).permutation(len(questions))
        held_out = min(settings.held_out, len(drawn) // 10)
        self.held_out: Rows = np.sort(drawn[:held_out])
        self.rows: Rows = np.sort(drawn[held_out:])
        self.batch_size = min(settings.batches.size, len(self.rows))
        self.steps_per_epoch = len(self.rows) // self.batch_size
        self.total_steps = settings.schedule.steps or settings.schedule.epochs * self.steps_per_epoch
        self._question_mark, self._sep = tokenizer.tokenizer.token_to_id("?"), tokenizer.sep_id
        self._order: tuple[int, Rows] | None = None

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, counted from 0: arrays as QuestionBatch describes them."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.settings.seed, 1 << 32, epoch]).permutation(self.rows)
        rows = self._order[1][number * self.batch_size : (number + 1) * self.batch_size]
        drawn = np.random.default_rng([self.settings.seed, step]).random(len(rows))
        shown = self.questions.padded(rows)
        if self._question_mark is not None:
            chosen = drawn < self.settings.batches.without_question_mark
            shown = _without_last(shown, self._question_mark, self._sep, chosen)
        return {"queries": shown, "targets": self.targets(rows)}

    def targets(self, rows: Rows) -> Vectors:
        """The teacher's vectors [n, d] of questions by their rows, in unit length."""
        vectors = self._vectors[rows].astype(np.float32)
        unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit

    def digest(self) -> str:
        """A digest of the questions in their order and of some of the vectors, evenly spread."""
        digest = hashlib.blake2b(self.questions.passages.digest().encode(), digest_size=16)
        digest.update(self._vectors[:: max(1, len(self._vectors) // _DIGESTED)].tobytes())
        return digest.hexdigest()


def _without_last(texts: TokenBatch, token: int, sep: int, chosen: NDArray[np.bool_]) -> TokenBatch:
    """The chosen [b] texts without this token where it is the last before [SEP], unless they have no other."""
    ids, lengths = texts.ids.copy(), texts.lengths
    row = np.arange(len(ids))
    cut = row[chosen & (lengths > 3) & (ids[row, np.maximum(lengths - 2, 0)] == token)]
    ids[cut, lengths[cut] - 2], ids[cut, lengths[cut] - 1] = sep, 0
    lengths = lengths.copy()
    lengths[cut] -= 1
    return texts._replace(ids=ids, lengths=lengths)
