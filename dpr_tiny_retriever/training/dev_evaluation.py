"""Evaluation on dev examples while a model is trained, and early stopping."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dpr_tiny_retriever.training.dual_encoder_model import DualEncoderModel
from dpr_tiny_retriever.training.token_store import ExampleStore, TokenStore
from dpr_tiny_retriever.training.trainable_encoder import TrainableEncoder

_BATCH_TOKENS = 8192
_KS = (1, 5, 20)


class DevScore(NamedTuple):
    """How well the positives of dev examples are found among all their passages."""

    step: int
    average_rank: float
    hits: dict[int, float]

    def __str__(self) -> str:
        hits = ", ".join(f"hit@{k} {share:.4f}" for k, share in self.hits.items())
        return f"step {self.step}: average rank {self.average_rank:.2f}, {hits}"


class DevEvaluation(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates every so many steps; stops when patience runs out, and takes the best weights at the end.

    As DPR does, the average rank (from 1) of each question's positive among the positives and hard negatives of all
    dev examples decides. A copy of the positive, or another passage that answers the question, is not counted.
    """

    def __init__(self, dev: ExampleStore, *, every: int, patience: int | None) -> None:
        super().__init__()
        self.dev = dev
        self.every = every
        self.patience = patience
        self.scores: list[DevScore] = []
        self.best: dict[str, NDArray[Any]] = {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.steps_made % self.every == 0:
            self.evaluate()

    def evaluate(self) -> None:
        """Measure the present weights."""
        model: DualEncoderModel = self.model
        queries = _encoded(model.query_encoder, self.dev.queries)[self.dev.query_rows]
        passages = _encoded(model.passage_encoder, self.dev.passages)
        score = dev_score(self.dev, queries, passages, step=model.steps_made, cosine=model.similarity == "cosine")
        self.scores.append(score)
        tqdm.write(f"dev, {score}")
        best = min(self.scores, key=lambda known: known.average_rank)
        if best is score:
            self.best = {variable.path: np.array(variable.value.numpy()) for variable in model.trainable_variables}
        elif self.patience is not None and len(self.scores) - 1 - self.scores.index(best) >= self.patience:
            model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self.scores or self.scores[-1].step != self.model.steps_made:
            self.evaluate()
        for variable in self.model.trainable_variables:
            variable.assign(self.best[variable.path])

    def state(self) -> dict[str, NDArray[Any]]:
        """What a resumed run needs of this."""
        scores = [(score.step, score.average_rank, list(score.hits.values())) for score in self.scores]
        return {"dev": np.array(json.dumps(scores)), **{f"best/{path}": array for path, array in self.best.items()}}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take up what state() gave."""
        self.scores = [
            DevScore(step, rank, dict(zip(_KS, hits, strict=True)))
            for step, rank, hits in json.loads(str(state["dev"]))
        ]
        self.best = {name.removeprefix("best/"): array for name, array in state.items() if name.startswith("best/")}


def dev_score(
    dev: ExampleStore, queries: NDArray[np.float32], passages: NDArray[np.float32], *, step: int, cosine: bool
) -> DevScore:
    """The score of vectors of the examples' queries [n, d], and of all their passages [m, d] by row."""
    if cosine:
        queries, passages = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, passages))
    ranks = np.empty(len(queries), np.int64)
    for at, (query, own) in enumerate(zip(queries, dev.positive_rows.tolist(), strict=True)):
        scores = passages @ query
        above = ~(scores < scores[own])  # an equal score and NaN count against the model
        above[dev.known_positives(int(dev.query_rows[at]))] = False
        ranks[at] = 1 + np.count_nonzero(above)
    return DevScore(step, float(ranks.mean()), {k: float((ranks <= k).mean()) for k in _KS})


def _encoded(encoder: TrainableEncoder, texts: TokenStore) -> NDArray[np.float32]:
    """Vectors [n, d] of a whole store."""
    lengths = texts.lengths()
    order = np.argsort(lengths, kind="stable")[::-1]
    vectors = np.empty((len(texts), encoder.config.embedding_dim), np.float32)
    at = 0
    while at < len(order):
        rows = order[at : at + max(1, _BATCH_TOKENS // int(lengths[order[at]]))]
        vectors[rows] = encoder.graph(*texts.padded(rows))
        at += len(rows)
    return vectors
