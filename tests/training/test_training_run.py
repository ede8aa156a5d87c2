"""A whole run: what it writes, what it tells, and where it stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from training_data import records
from training_runs import QUERIES, SETTINGS, Finished, Recorder, arrays, assert_same_weights, changed, quiet

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import (
    NewModel,
    TrainingData,
    new_pair,
    read_examples,
    train,
)
from dpr_tiny_retriever.training.dev_evaluation import dev_score
from dpr_tiny_retriever.training.token_store import ExampleStore

pytestmark = pytest.mark.training


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
    assert finished.run.skipped.count == 1
    for part in (
        "license: apache-2.0",
        "| train.json | 24 | 1 |",
        "train.json:",  # the place of the broken record
        "| batches.size | `6` |",
        f"{finished.run.dev[-1].average_rank:.2f}",
        "DualEncoder.from_pretrained",
        "TinyDPRTextEmbedder",
        "TinyDPRRetriever",
        "TinyDPREmbeddings",
        "SentenceTransformer(",
    ):
        assert part in card


@pytest.mark.parametrize("wrong", [np.nan, 1.0])
def test_vectors_that_tell_nothing_apart_rank_last(data: Path, small_pair: DualEncoder, wrong: float) -> None:
    dev = ExampleStore(small_pair.query_encoder.tokenizer, 32, 32)
    for example in read_examples(data):
        dev.add(example)
    queries = np.full((len(dev), 4), wrong, np.float32)
    score = dev_score(dev, queries, np.full((len(dev.passages), 4), wrong, np.float32), step=1, cosine=False)
    assert score.average_rank > len(dev.passages) - 2
    assert score.hits == {1: 0.0, 5: 0.0, 20: 0.0}


def test_a_batch_that_the_replicas_cannot_share_is_refused(
    data: Path, small_pair: DualEncoder, strategy: tf.distribute.Strategy, tmp_path: Path
) -> None:
    settings = changed(SETTINGS, batches={"size": 7})
    with pytest.raises(ValueError, match="a batch has 7 questions, and there are 2 replicas"):
        train(TrainingData([data]), tmp_path, start=small_pair, settings=settings, options=quiet(strategy=strategy))


def test_training_stops_where_patience_ends_and_keeps_the_best_weights(
    data: Path, small_pair: DualEncoder, tmp_path: Path
) -> None:
    settings = changed(SETTINGS, evaluation={"every": 1, "patience": 2}, optimizer={"learning_rate": 1e-30})
    files = TrainingData([data], dev=[data])
    run = train(files, tmp_path, start=small_pair, settings=settings, options=quiet())
    assert run.steps == 3
    assert_same_weights(run.encoder, small_pair)


def test_two_replicas_train_the_weights_of_one(
    data: Path, small_pair: DualEncoder, strategy: tf.distribute.Strategy, tmp_path: Path
) -> None:
    # Clipped: it is the gradient of the global batch that is. Adam makes a step of rounding errors where a gradient is
    # zero, as that of the keys' biases, but for a large epsilon.
    settings = changed(
        SETTINGS,
        regularization={"dropout": 0.0},
        schedule={"epochs": 1},
        optimizer={"clip_norm": 0.1, "epsilon": 1e-3},
    )
    start = DualEncoder(small_pair.query_encoder, small_pair.query_encoder)
    runs = [
        train(TrainingData([data]), tmp_path / name, start=start, settings=settings, options=quiet(strategy=chosen))
        for name, chosen in (("one", None), ("two", strategy))
    ]
    assert [run.steps for run in runs] == [4, 4]
    assert_same_weights(runs[1].encoder, runs[0].encoder)
    moved = np.abs(arrays(runs[0].encoder)[0] - arrays(small_pair)[0]).max()
    assert moved > 0.001


@pytest.mark.parametrize(("precision", "compiled"), [("bfloat16", False), ("bfloat16", True), ("float16", False)])
def test_mixed_precision_trains_float32_weights(
    data: Path, small_pair: DualEncoder, tmp_path: Path, precision: str, compiled: bool
) -> None:
    settings = changed(
        SETTINGS, precision=precision, compiled=compiled, schedule={"epochs": 4}, optimizer={"learning_rate": 0.02}
    )
    recorder = Recorder()
    start = DualEncoder(small_pair.query_encoder, small_pair.query_encoder)
    run = train(TrainingData([data]), tmp_path, start=start, settings=settings, options=quiet(callbacks=[recorder]))
    assert {array.dtype for array in arrays(run.encoder)} == {np.dtype(np.float32)}
    assert np.isfinite(recorder.losses).all()
    assert np.mean(recorder.losses[-4:]) < np.mean(recorder.losses[:4])


def test_one_question_without_negatives_trains(
    write_data: Callable[[list[dict[str, Any]]], Path], small_directory: Path, tmp_path: Path
) -> None:
    data = write_data(records(1))
    new = NewModel(
        tokenizer_from=str(small_directory / "query_encoder"), layers=1, width=8, heads=2, word_embeddings="random"
    )
    settings = changed(SETTINGS, batches={"hard_negatives": 0}, schedule={"epochs": 2})
    run = train(TrainingData([data]), tmp_path, start=new_pair(new), settings=settings, options=quiet())
    assert run.steps == 2
    assert run.encoder.query_encoder.weights is run.encoder.passage_encoder.weights
    vectors = run.encoder.encode_queries(QUERIES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
