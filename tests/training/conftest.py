from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_data import records
from training_fixtures import strategy, teacher, teacher_directory
from training_runs import SETTINGS, Finished, Recorder, quiet

from dpr_tiny_retriever.training import (
    TrainingData,
    load_start,
    train,
)

__all__ = ["strategy", "teacher", "teacher_directory"]


@pytest.fixture(scope="session")
def broken_data(write_data: Callable[[list[dict[str, Any]]], Path]) -> Path:
    """24 examples, and a record that is none."""
    return write_data([*records(), {"question": "who", "positive_ctxs": []}])


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, broken_data: Path, data: Path, small_directory: Path
) -> Finished:
    """A run that nothing interrupted."""
    folder, recorder = tmp_path_factory.mktemp("finished"), Recorder()
    run = train(
        TrainingData([broken_data], dev=[data]),
        folder / "pair",
        start=load_start(small_directory),
        settings=SETTINGS,
        options=quiet(callbacks=[recorder], tensorboard=folder / "board", license="apache-2.0"),
    )
    return Finished(run, folder / "pair", folder / "board", recorder.losses)
