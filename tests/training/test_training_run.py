"""A whole run: what it writes, what it tells, where it stops, and that it resumes to the same weights."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_data import records

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import Distillation, NewModel, Run, Settings, read_examples, train
from dpr_tiny_retriever.training.callbacks import dev_score
from dpr_tiny_retriever.training.token_store import ExampleStore, TextStore
from dpr_tiny_retriever.training.trainer import WarmUp, compiled_model

pytestmark = pytest.mark.training

SETTINGS = Settings(
    epochs=3,
    batch_size=6,
    hard_negatives=1,
    max_query_length=16,
    max_passage_length=32,
    learning_rate=0.01,
    dropout=0.2,
    evaluate_every=4,
)
QUERIES = ["who wrote the river of city", "the tower"]


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """A user's callback."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.losses.append(float((logs or {})["loss"]))


@dataclass(frozen=True)
class Finished:
    run: Run
    output: Path
    tensorboard: Path
    losses: list[float]


@pytest.fixture(scope="module")
def broken_data(write_data: Callable[[list[dict[str, Any]]], Path]) -> Path:
    """24 examples, and a record that is none."""
    return write_data([*records(), {"question": "who", "positive_ctxs": []}])


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, broken_data: Path, data: Path, small_directory: Path
) -> Finished:
    """A run that nothing interrupted."""
    folder, recorder = tmp_path_factory.mktemp("finished"), Recorder()
    run = train(
        [broken_data],
        folder / "pair",
        start=small_directory,
        settings=SETTINGS,
        dev=[data],
        callbacks=[recorder],
        tensorboard=folder / "board",
        licence="apache-2.0",
        show_progress=False,
    )
    return Finished(run, folder / "pair", folder / "board", recorder.losses)


def arrays(pair: DualEncoder) -> list[Any]:
    found = tf.nest.flatten([pair.query_encoder.weights, pair.passage_encoder.weights])
    return [array for array in found if array is not None]


def assert_same_weights(one: DualEncoder, other: DualEncoder) -> None:
    for found, expected in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_training_lowers_the_loss(finished: Finished) -> None:
    assert finished.run.steps == len(finished.losses) == 12
    assert np.mean(finished.losses[-3:]) < np.mean(finished.losses[:3])


def test_the_written_pair_gives_the_vectors_of_the_trained_one(finished: Finished) -> None:
    loaded = DualEncoder.from_pretrained(finished.output)
    expected = finished.run.encoder.encode_queries(QUERIES)
    np.testing.assert_allclose(loaded.encode_queries(QUERIES), expected, atol=1e-6)
    assert (loaded.query_encoder.max_length, loaded.passage_encoder.max_length) == (16, 32)


def test_the_two_sides_are_trained_apart_where_they_were_two(finished: Finished) -> None:
    pair = finished.run.encoder
    assert pair.query_encoder.weights is not pair.passage_encoder.weights


def test_dev_examples_are_evaluated_every_so_many_steps(finished: Finished) -> None:
    assert [score.step for score in finished.run.dev] == [4, 8, 12]
    assert all(1 <= score.average_rank <= 48 and set(score.hits) == {1, 5, 20} for score in finished.run.dev)


def test_tensorboard_files_are_written(finished: Finished) -> None:
    assert list(finished.tensorboard.rglob("events.out.tfevents*"))


def test_the_card_tells_of_data_settings_measurements_and_use(finished: Finished) -> None:
    card = (finished.output / "README.md").read_text(encoding="utf-8")
    assert finished.run.broken.count == 1
    for part in (
        "license: apache-2.0",
        "| train.json | 24 | 1 |",
        "train.json:",  # the place of the broken record
        "| batch_size | `6` |",
        f"{finished.run.dev[-1].average_rank:.2f}",
        "DualEncoder.from_pretrained",
        "TinyDPRTextEmbedder",
        "TinyDPRRetriever",
        "TinyDPREmbeddings",
        "SentenceTransformer(",
    ):
        assert part in card


def test_a_finished_run_started_again_gives_the_same_pair(
    finished: Finished, broken_data: Path, data: Path, small_directory: Path
) -> None:
    again = train(
        [broken_data],
        finished.output,
        start=small_directory,
        settings=SETTINGS,
        dev=[data],
        tensorboard=finished.tensorboard,
        licence="apache-2.0",
        show_progress=False,
    )
    assert again.steps == 12
    assert_same_weights(again.encoder, finished.run.encoder)


def test_a_checkpoint_of_other_settings_is_refused(finished: Finished, data: Path, small_directory: Path) -> None:
    settings = dataclasses.replace(SETTINGS, seed=9)
    with pytest.raises(ValueError, match=r"state\.npz belongs to a run with other data or settings"):
        train([data], finished.output, start=small_directory, settings=settings, show_progress=False)


def test_a_checkpoint_of_another_dev_set_is_refused(
    finished: Finished, broken_data: Path, write_data: Callable[[list[dict[str, Any]]], Path], small_directory: Path
) -> None:
    for dev in ([], [write_data(records(8))]):
        with pytest.raises(ValueError, match=r"state\.npz belongs to a run with other data or settings"):
            train(
                [broken_data],
                finished.output,
                start=small_directory,
                settings=SETTINGS,
                dev=dev,
                show_progress=False,
            )


def test_a_checkpoint_of_another_teacher_is_refused(
    data: Path, small_pair: DualEncoder, teacher: DualEncoder, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, epochs=1, kl_weight=1.0)
    for encoder, cache in ((teacher, "one"), (small_pair, "other")):
        distillation = Distillation(encoder=encoder, cache=tmp_path / cache)
        refused = pytest.raises(ValueError, match="belongs to a run with other data or settings")
        with refused if cache == "other" else contextlib.nullcontext():
            train(
                [data],
                tmp_path / "pair",
                start=small_pair,
                settings=settings,
                distillation=distillation,
                show_progress=False,
            )


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
            [data],
            tmp_path,
            start=small_pair,
            settings=SETTINGS,
            dev=[data],
            callbacks=[Diverging()],
            checkpoint_every=1,
            show_progress=False,
        )
    assert not (tmp_path / "query_encoder").exists()
    with np.load(tmp_path / "training" / "state.npz") as state:
        weights = [state[name] for name in state if name.startswith("model.")]
        assert len(weights) > 10
        assert all(np.isfinite(array).all() for array in weights)


@pytest.mark.parametrize("wrong", [np.nan, 1.0])
def test_vectors_that_tell_nothing_apart_rank_last(data: Path, small_pair: DualEncoder, wrong: float) -> None:
    dev = ExampleStore(*(TextStore(small_pair.query_encoder.tokenizer, 32) for _ in range(2)))
    for example in read_examples(data):
        dev.add(example)
    queries = np.full((len(dev), 4), wrong, np.float32)
    score = dev_score(dev, queries, np.full((len(dev.passages), 4), wrong, np.float32), step=1, cosine=False)
    assert score.average_rank > len(dev.passages) - 2
    assert score.hits == {1: 0.0, 5: 0.0, 20: 0.0}


def test_a_batch_that_the_replicas_cannot_share_is_refused(
    data: Path, small_pair: DualEncoder, strategy: tf.distribute.Strategy, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, batch_size=7)
    with pytest.raises(ValueError, match="7 of the 24 questions, and there are 2 replicas"):
        train([data], tmp_path, start=small_pair, settings=settings, strategy=strategy, show_progress=False)


_KILLED = """
import os, signal, sys, json
from pathlib import Path
import keras
from dpr_tiny_retriever.training import Settings, train

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 7:
            os.kill(os.getpid(), signal.SIGKILL)

data, dev, output, start, settings = sys.argv[1:]
train([Path(data)], Path(output), start=start, settings=Settings(**json.loads(settings)), dev=[Path(dev)],
      callbacks=[Kill()], checkpoint_every=5, show_progress=False)
"""


def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(
    finished: Finished, broken_data: Path, data: Path, small_directory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pair"
    arguments = [broken_data, data, output, small_directory, json.dumps(SETTINGS.record())]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert not (output / "query_encoder").exists()
    recorder = Recorder()
    resumed = train(
        [broken_data],
        output,
        start=small_directory,
        settings=SETTINGS,
        dev=[data],
        callbacks=[recorder],
        show_progress=False,
    )
    assert len(recorder.losses) == 7  # steps 6 to 12: the checkpoint of step 5 was the last
    np.testing.assert_allclose(recorder.losses, finished.losses[5:], atol=1e-5)
    assert_same_weights(resumed.encoder, finished.run.encoder)
    assert [score.step for score in resumed.dev] == [4, 8, 12]


def test_training_stops_where_patience_ends_and_keeps_the_best_weights(
    data: Path, small_pair: DualEncoder, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, evaluate_every=1, patience=2, learning_rate=1e-30)
    run = train([data], tmp_path, start=small_pair, settings=settings, dev=[data], show_progress=False)
    assert run.steps == 3
    assert_same_weights(run.encoder, small_pair)


def test_two_replicas_train_the_weights_of_one(
    data: Path, small_pair: DualEncoder, strategy: tf.distribute.Strategy, tmp_path: Path
) -> None:
    # Clipped: it is the gradient of the global batch that is. Adam makes a step of rounding errors where a gradient is
    # zero, as that of the keys' biases, but for a large epsilon.
    settings = dataclasses.replace(SETTINGS, dropout=0.0, epochs=1, clip_norm=0.1, epsilon=1e-3)
    runs = [
        train(
            [data],
            tmp_path / name,
            start=small_pair,
            tied=True,
            settings=settings,
            strategy=chosen,
            show_progress=False,
        )
        for name, chosen in (("one", None), ("two", strategy))
    ]
    assert [run.steps for run in runs] == [4, 4]
    assert_same_weights(runs[1].encoder, runs[0].encoder)
    moved = np.abs(arrays(runs[0].encoder)[0] - arrays(small_pair)[0]).max()
    assert moved > 0.001


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_float32_weights(
    data: Path, small_pair: DualEncoder, tmp_path: Path, precision: str
) -> None:
    settings = dataclasses.replace(SETTINGS, precision=precision, epochs=4, learning_rate=0.02)
    recorder = Recorder()
    run = train(
        [data], tmp_path, start=small_pair, tied=True, settings=settings, callbacks=[recorder], show_progress=False
    )
    assert {array.dtype for array in arrays(run.encoder)} == {np.dtype(np.float32)}
    assert np.isfinite(recorder.losses).all()
    assert np.mean(recorder.losses[-4:]) < np.mean(recorder.losses[:4])


def test_one_question_without_negatives_trains(
    write_data: Callable[[list[dict[str, Any]]], Path], small_directory: Path, tmp_path: Path
) -> None:
    data = write_data(records(1))
    new = NewModel(small_directory / "query_encoder", layers=1, width=8, heads=2, words="random")
    settings = dataclasses.replace(SETTINGS, hard_negatives=0, epochs=2)
    run = train([data], tmp_path, start=new, settings=settings, show_progress=False)
    assert run.steps == 2
    assert run.encoder.query_encoder.weights is run.encoder.passage_encoder.weights
    vectors = run.encoder.encode_queries(QUERIES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    schedule = WarmUp(0.5, total=10, warmup=4)
    rates = [float(schedule(step)) for step in range(11)]
    np.testing.assert_allclose(rates[:4], [0.125, 0.25, 0.375, 0.5])
    np.testing.assert_allclose(rates[4:], 0.5 * np.arange(6, -1, -1) / 6, atol=1e-6)


def test_biases_and_layer_norms_have_no_weight_decay(small_pair: DualEncoder) -> None:
    model = compiled_model(small_pair, True, SETTINGS, 10, None, tf.distribute.get_strategy())
    decayed = {v.name for v in model.trainable_variables if model.optimizer._use_weight_decay(v)}
    spared = {v.name for v in model.trainable_variables} - decayed
    assert all("bias" in name or "norm" in name for name in spared)
    assert not any("bias" in name or "norm" in name for name in decayed)
    assert {"embeddings_word", "layers_0_query_key_value_kernel"} <= decayed


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"precision": "float8"}, "precision is 'float8'"),
        ({"contrastive_weight": 0.0}, "weights of the losses"),
        ({"max_passage_length": 2}, "max_passage_length is 2"),
        ({"hard_negatives": -1}, "hard_negatives is -1"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Settings(**changes)


def test_a_run_without_what_its_settings_need_is_refused(data: Path, small_pair: DualEncoder, tmp_path: Path) -> None:
    for settings, problem in (
        (dataclasses.replace(SETTINGS, kl_weight=1.0), "ask for a teacher"),
        (dataclasses.replace(SETTINGS, patience=1), "no dev examples"),
    ):
        with pytest.raises(ValueError, match=problem):
            train([data], tmp_path, start=small_pair, settings=settings, show_progress=False)


def test_data_without_examples_is_refused(small_pair: DualEncoder, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(ValueError, match=r"no examples in .*empty\.json"):
        train([tmp_path / "empty.json"], tmp_path / "out", start=small_pair, show_progress=False)
