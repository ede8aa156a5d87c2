"""A killed run goes on to the same weights; one that has ended is trained anew; no unfinished one is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from training_data import records
from training_runs import SETTINGS, Finished, Recorder, arrays, assert_same_weights, changed, quiet

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import (
    Distillation,
    KLDivergence,
    Losses,
    Settings,
    TrainingData,
    load_start,
    train,
)

pytestmark = pytest.mark.training


def test_training_into_the_same_folder_again_trains(
    finished: Finished, broken_data: Path, data: Path, tmp_path: Path
) -> None:
    """What has ended is no reason to refuse: neither the same run again, nor one of other data and settings."""
    checkpoints = tmp_path / "checkpoints"
    for start, files, seed in (
        (finished.run.encoder, [broken_data], 0),
        (finished.run.encoder, [broken_data], 0),
        (finished.run.encoder, [data], 9),
    ):
        recorder = Recorder()
        run = train(
            TrainingData(files),
            tmp_path / f"pair{seed}",
            start=start,
            settings=changed(SETTINGS, seed=seed, schedule={"epochs": 1}),
            options=quiet(callbacks=[recorder], checkpoints=checkpoints, checkpoint_every=1),
        )
        assert run.steps == len(recorder.losses) == 4
        assert np.abs(arrays(run.encoder)[0] - arrays(start)[0]).max() > 0.001


def test_a_stage_that_has_ended_is_taken_up_where_that_is_asked_for(
    finished: Finished, broken_data: Path, data: Path, small_directory: Path
) -> None:
    recorder = Recorder()
    again = train(
        TrainingData([broken_data], dev=[data]),
        finished.output,
        start=load_start(small_directory),
        settings=SETTINGS,
        options=quiet(callbacks=[recorder], license="apache-2.0", reuse_finished=True),
    )
    assert (again.steps, recorder.losses) == (12, [])
    assert_same_weights(again.encoder, finished.run.encoder)


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    """Interrupts a run after its second step."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.steps_made == 2:
            raise KeyboardInterrupt


def test_an_unfinished_run_of_other_settings_data_or_teacher_is_not_lost(
    data: Path,
    write_data: Callable[[list[dict[str, Any]]], Path],
    small_pair: DualEncoder,
    teacher: DualEncoder,
    tmp_path: Path,
) -> None:
    settings = changed(SETTINGS, schedule={"epochs": 1}, losses=Losses(kl_divergence=KLDivergence()))
    distillation = Distillation(encoder=teacher, cache=tmp_path / "one")
    files = TrainingData([data])
    with pytest.raises(KeyboardInterrupt):
        train(
            files,
            tmp_path / "pair",
            start=small_pair,
            settings=settings,
            distillation=distillation,
            options=quiet(callbacks=[Stop()], checkpoint_every=1),
        )
    others: list[tuple[TrainingData, Settings, Distillation]] = [
        (files, changed(settings, seed=9), distillation),
        (TrainingData([data], dev=[data]), settings, distillation),
        (TrainingData([write_data(records(8))]), settings, distillation),
        (files, settings, Distillation(encoder=small_pair, cache=tmp_path / "other")),
    ]
    for other_files, other_settings, other_teacher in others:
        with pytest.raises(ValueError, match=r"state\.npz holds an unfinished run .* delete the file"):
            train(
                other_files,
                tmp_path / "pair",
                start=small_pair,
                settings=other_settings,
                distillation=other_teacher,
                options=quiet(),
            )
    anew = train(
        files,
        tmp_path / "pair",
        start=small_pair,
        settings=changed(settings, seed=9),
        distillation=distillation,
        options=quiet(resume=False),
    )
    assert anew.steps == 4


def test_a_run_that_diverges_stops_and_keeps_its_last_checkpoint(
    data: Path, small_pair: DualEncoder, tmp_path: Path
) -> None:
    class Diverging(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            if self.model.steps_made == 2:
                weight = self.model.trainable_variables[-1]
                weight.assign(np.full(weight.shape, np.inf))

    with pytest.raises(ValueError, match=r"diverged: after step 3 .* expected a lower learning rate"):
        train(
            TrainingData([data], dev=[data]),
            tmp_path,
            start=small_pair,
            settings=SETTINGS,
            options=quiet(callbacks=[Diverging()], checkpoint_every=1),
        )
    assert not (tmp_path / "query_encoder").exists()
    with np.load(tmp_path / "training" / "state.npz") as state:
        assert "model/query/embeddings_word" in state  # by their paths, whatever their order
        weights = [state[name] for name in state if name.startswith("model/")]
        assert len(weights) > 10
        assert all(np.isfinite(array).all() for array in weights)


_KILLED = """
import os, signal, sys, json
from pathlib import Path
import keras
from dpr_tiny_retriever.training import RunOptions, Settings, TrainingData, load_start, train
from dpr_tiny_retriever.training.validated import validated

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 7:
            os.kill(os.getpid(), signal.SIGKILL)

data, dev, output, start, settings = sys.argv[1:]
train(TrainingData([Path(data)], dev=[Path(dev)]), Path(output), start=load_start(start),
      settings=validated(Settings, json.loads(settings), "settings"),
      options=RunOptions(callbacks=[Kill()], checkpoint_every=5, show_progress=False))
"""


@pytest.mark.posix
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(
    finished: Finished, broken_data: Path, data: Path, small_directory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pair"
    arguments = [broken_data, data, output, small_directory, json.dumps(msgspec.to_builtins(SETTINGS))]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert not (output / "query_encoder").exists()
    recorder = Recorder()
    resumed = train(
        TrainingData([broken_data], dev=[data]),
        output,
        start=load_start(small_directory),
        settings=SETTINGS,
        options=quiet(callbacks=[recorder]),
    )
    assert len(recorder.losses) == 7  # steps 6 to 12: the checkpoint of step 5 was the last
    assert recorder.losses == finished.losses[5:]
    for found, expected in zip(arrays(resumed.encoder), arrays(finished.run.encoder), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [score.step for score in resumed.dev] == [4, 8, 12]
