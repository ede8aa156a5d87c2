"""What happens around the steps: checkpoints that resume exactly, dev evaluation, early stopping, a progress bar."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.training.dual_encoder_model import PairModel
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows, TextStore
from dpr_tiny_retriever.training.trainable_encoder import Drop, Texts, Tower

_TOKENS_AT_ONCE = 8192
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
    """Evaluates every so many steps; stops where patience runs out, and takes the best weights at the end.

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
        self._forward: dict[str, Callable[..., Any]] = {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = self.model.steps_made
        if step % self.every == 0:
            self.evaluate(step)

    def evaluate(self, step: int) -> None:
        """Measure the present weights."""
        score = self._measure(step)
        self.scores.append(score)
        tqdm.write(f"dev, {score}")
        best = min(self.scores, key=lambda known: known.average_rank)
        if best is score:
            self.best = _arrays("best", self.model.trainable_variables)
        elif self.patience is not None and len(self.scores) - 1 - self.scores.index(best) >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        step = self.model.steps_made
        if not self.scores or self.scores[-1].step != step:
            self.evaluate(step)
        _assign("best", self.model.trainable_variables, self.best)

    def state(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint holds of this."""
        scores = [(score.step, score.average_rank, list(score.hits.values())) for score in self.scores]
        return {"dev": np.array(json.dumps(scores)), **self.best}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take up what state() gave."""
        self.scores = [
            DevScore(step, rank, dict(zip(_KS, hits, strict=True)))
            for step, rank, hits in json.loads(str(state["dev"]))
        ]
        self.best = {name: array for name, array in state.items() if name.startswith("best.")}

    def _measure(self, step: int) -> DevScore:
        model: PairModel = self.model
        if not self._forward:
            self._forward = {side: _forward(getattr(model, f"{side}_tower")) for side in ("query", "passage")}
        dim = model.query_tower.config.embedding_dim
        queries = _encoded(self._forward["query"], self.dev.queries, dim)[self.dev.query_rows]
        passages = _encoded(self._forward["passage"], self.dev.passages, dim)
        return dev_score(self.dev, queries, passages, step=step, cosine=model.similarity == "cosine")


def dev_score(
    dev: ExampleStore, queries: NDArray[np.float32], passages: NDArray[np.float32], *, step: int, cosine: bool
) -> DevScore:
    """The score of vectors of the examples' queries [n, d], and of all their passages [m, d] by row."""
    if cosine:
        queries, passages = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, passages))
    ranks = np.empty(len(queries), np.int64)
    for at, (query, own) in enumerate(zip(queries, dev.positive_rows.tolist(), strict=True)):
        scores = passages @ query
        above = ~(scores < scores[own])  # what is equal, or no number, counts against the model
        above[dev.known_positives(int(dev.query_rows[at]))] = False
        ranks[at] = 1 + np.count_nonzero(above)
    return DevScore(step, float(ranks.mean()), {k: float((ranks <= k).mean()) for k in _KS})


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps everything that a run depends on in one file, replaced whole every few minutes and at the end.

    Raises ValueError where the weights are no numbers any more: the file then keeps the last ones that were.
    """

    def __init__(
        self, path: Path, *, minutes: float, every: int | None, identity: str, dev: DevEvaluation | None
    ) -> None:
        """Also after every so many steps; identity is a digest of what a resumed run has to share with this one."""
        super().__init__()
        self.path = path
        self.seconds = 60 * minutes
        self.every = every
        self.identity = identity
        self.dev = dev
        self.trained_seconds = 0.0
        self._saved = self._resumed = time.monotonic()

    def restore(self, model: PairModel, total: int) -> int:
        """Take up the file's state, if there is one; returns the steps made, total for a run that has ended.

        Raises ValueError where the file is another run's.
        """
        if not self.path.exists():
            return 0
        with np.load(self.path, allow_pickle=False) as file:
            state: dict[str, NDArray[Any]] = dict(file)
        if str(state["identity"]) != self.identity:
            raise ValueError(
                f"{self.path} belongs to a run with other data or settings; expected the same, another output folder, "
                "or resume=False"
            )
        model.optimizer.build(model.trainable_variables)
        _assign("model", model.variables, state)
        _assign("optimizer", model.optimizer.variables, state)
        if self.dev is not None:
            self.dev.restore(state)
        self.trained_seconds = float(state["seconds"])
        return total if state["ended"] else model.steps_made

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        due = self.every is not None and self.model.steps_made % self.every == 0
        diverged = not np.isfinite(float((logs or {}).get("loss", 0.0)))
        if due or diverged or time.monotonic() - self._saved >= self.seconds:
            self.save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.save(ended=True)

    @property
    def total_seconds(self) -> float:
        """How long the run has trained, resumed parts included."""
        return self.trained_seconds + time.monotonic() - self._resumed

    def save(self, *, ended: bool = False) -> None:
        """Write the file anew; a crash leaves the former one."""
        weights = _arrays("model", self.model.variables)
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise ValueError(
                f"the training has diverged: after step {self.model.steps_made} there are weights that are no numbers; "
                "expected a lower learning rate, a longer warm-up, or clip_norm"
            )
        state = {
            "identity": np.array(self.identity),
            "ended": np.array(ended),
            "seconds": np.array(self.total_seconds),
            **weights,
            **_arrays("optimizer", self.model.optimizer.variables),
            **(self.dev.state() if self.dev is not None else {}),
        }
        with replaced_file(self.path) as part, part.open("wb") as file:
            np.savez(file, **state)  # type: ignore[arg-type]
        self._saved = time.monotonic()


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """One bar for the whole run, with the loss, and the time that is left; stops fit() at the last step."""

    def __init__(self, total: int, done: int, *, shown: bool) -> None:
        super().__init__()
        self._total = total
        self._bar = tqdm(total=total, initial=done, unit=" steps", disable=not shown)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.steps_made >= self._total:
            self.model.stop_training = True
        self._bar.update(1)
        if not self._bar.disable:
            self._bar.set_postfix({name: f"{float(value):.4g}" for name, value in (logs or {}).items()}, refresh=False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._bar.close()


def _forward(tower: Tower) -> Callable[..., Any]:
    """The forward pass of the present weights as one graph for every batch size and length."""
    signature = [tf.TensorSpec(shape, tf.int32) for shape in ([None, None], [None], [None])]
    forward: Callable[..., Any] = tf.function(
        lambda *parts: tower.encode(Texts(*parts), Drop()), input_signature=signature, autograph=False
    )
    return forward


def _encoded(forward: Callable[..., Any], texts: TextStore, dim: int) -> NDArray[np.float32]:
    """Vectors [n, dim] of a whole store."""
    lengths = np.array([len(texts.tokens(row)) for row in range(len(texts))])
    order: Rows = np.argsort(lengths, kind="stable")[::-1]
    vectors = np.empty((len(texts), dim), np.float32)
    at = 0
    while at < len(order):
        rows = order[at : at + max(1, _TOKENS_AT_ONCE // int(lengths[order[at]]))]
        vectors[rows] = forward(*texts.padded(rows))
        at += len(rows)
    return vectors


def _arrays(prefix: str, variables: list[Any]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}.{number}": np.array(variable.value.numpy()) for number, variable in enumerate(variables)}


def _assign(prefix: str, variables: list[Any], state: dict[str, NDArray[Any]]) -> None:
    for number, variable in enumerate(variables):
        variable.assign(state[f"{prefix}.{number}"])
