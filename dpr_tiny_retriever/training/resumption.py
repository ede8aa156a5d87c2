"""A run's state on disk, so that a killed run goes on to the same weights, and its progress bar."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.progress import progress_bar
from dpr_tiny_retriever.training.dev_evaluation import DevEvaluation
from dpr_tiny_retriever.training.optimization import OptimizedModel
from dpr_tiny_retriever.training.options import RunOptions


class RunState(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps everything that a run depends on in one file, replaced atomically as the options say and at the end.

    Variables are kept by their Keras paths. Raises ValueError when weights become NaN or infinite: the file then
    keeps the last finite ones.
    """

    def __init__(self, path: Path, options: RunOptions, *, identity: str, dev: DevEvaluation | None) -> None:
        """identity is a digest of what a resumed run has to share with this one."""
        super().__init__()
        self.path = path
        self.options = options
        self.identity = identity
        self.dev = dev
        self.trained_seconds = 0.0
        self._saved = self._resumed = time.monotonic()

    def restore(self, model: OptimizedModel, total_steps: int) -> int:
        """Take up an unfinished run of this identity, and return the steps that it made; 0 to start anew.

        A finished run is started anew, or with reuse_finished and the same identity taken up too, which returns
        total_steps. Raises ValueError where the file holds another run that is unfinished: it would be lost.
        """
        if not (self.options.resume and self.path.exists()):
            return 0
        with np.load(self.path, allow_pickle=False) as file:
            state: dict[str, NDArray[Any]] = dict(file)
        finished, same = bool(state["ended"]), str(state["identity"]) == self.identity
        if finished and not (same and self.options.reuse_finished):
            return 0
        if not same:
            raise ValueError(
                f"{self.path} holds an unfinished run with other data or settings; expected the same ones to go on "
                "with it. To give it up, delete the file, or start anew (resume=False, --no-resume)"
            )
        for name, variable in _variables(model).items():
            variable.assign(state[name])
        if self.dev is not None:
            self.dev.restore(state)
        self.trained_seconds = float(state["seconds"])
        return total_steps if finished else model.steps_made

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        every, seconds = self.options.checkpoint_every, 60 * self.options.checkpoint_minutes
        due = every is not None and self.model.steps_made % every == 0
        diverged = not np.isfinite(float((logs or {}).get("loss", 0.0)))
        if due or diverged or time.monotonic() - self._saved >= seconds:
            self.save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.save(ended=True)

    @property
    def total_seconds(self) -> float:
        """How long the run has trained, parts before a resumption included."""
        return self.trained_seconds + time.monotonic() - self._resumed

    def save(self, *, ended: bool = False) -> None:
        """Write the file anew; a crash leaves the former one."""
        variables = _variables(self.model)
        arrays = {name: np.array(variable.value.numpy()) for name, variable in variables.items()}
        if not all(np.isfinite(array).all() for name, array in arrays.items() if name.startswith("model/")):
            raise ValueError(
                f"the training has diverged: after step {self.model.steps_made} there are weights that are NaN or "
                "infinite; expected a lower learning rate, a longer warm-up, or clip_norm"
            )
        state = {
            "identity": np.array(self.identity),
            "ended": np.array(ended),
            "seconds": np.array(self.total_seconds),
            **arrays,
            **(self.dev.state() if self.dev is not None else {}),
        }
        with replaced_file(self.path) as part, part.open("wb") as file:
            np.savez(file, **state)  # type: ignore[arg-type]
        self._saved = time.monotonic()


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """One bar for the whole run, with the loss and the time that is left; stops fit() at the last step."""

    def __init__(self, total_steps: int, done: int, *, show_progress: bool | None) -> None:
        super().__init__()
        self._total_steps = total_steps
        self._bar = progress_bar(total=total_steps, unit=" steps", show_progress=show_progress)
        self._bar.update(done)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.steps_made >= self._total_steps:
            self.model.stop_training = True
        self._bar.update(1)
        if not self._bar.disable:
            self._bar.set_postfix({name: f"{float(value):.4g}" for name, value in (logs or {}).items()}, refresh=False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._bar.close()


def _variables(model: OptimizedModel) -> dict[str, Any]:
    """All variables of a model and its optimizer by their Keras paths."""
    variables = [("model", variable) for variable in model.variables]
    variables += [("optimizer", variable) for variable in model.optimizer.variables]
    by_path = {f"{kind}/{variable.path}": variable for kind, variable in variables}
    if len(by_path) != len(variables):
        raise ValueError("two variables have one path; expected encoders, layers and losses of different names")
    return by_path
