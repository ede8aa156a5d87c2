"""Matching a teacher's vectors of every token."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from training_runs import SETTINGS, Recorder, changed, quiet

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import Distillation, EmbeddingMatch, Settings, TokenMatch, TrainingData, train
from dpr_tiny_retriever.training.initialisation import with_weights

pytestmark = pytest.mark.training


def mean_pooled(pair: DualEncoder) -> DualEncoder:
    """A pair of one encoder with the mean of its tokens' vectors."""
    encoder = pair.query_encoder
    config = dataclasses.replace(encoder.config, pooling="mean", normalize=True)
    pooled = with_weights(encoder, encoder.weights._replace(pooler=None), config=config)
    return DualEncoder(pooled, pooled)


@pytest.fixture
def start(small_pair: DualEncoder) -> DualEncoder:
    return mean_pooled(small_pair)


@pytest.fixture
def same_teacher(start: DualEncoder, tmp_path: Path) -> Path:
    """The model that training starts from."""
    start.save_pretrained(tmp_path / "same")
    return tmp_path / "same" / "passage_encoder"


def token_losses(
    data: Path, start: DualEncoder, settings: Settings, output: Path, distillation: Distillation | None = None
) -> list[float]:
    """The loss of each step of a run."""
    recorder = Recorder()
    options = quiet(callbacks=[recorder])
    train(TrainingData([data]), output, start=start, settings=settings, distillation=distillation, options=options)
    return recorder.losses


@pytest.mark.parametrize("compiled", [False, True])
def test_a_student_that_is_its_teacher_has_no_distance(
    data: Path, start: DualEncoder, same_teacher: Path, tmp_path: Path, compiled: bool
) -> None:
    settings = changed(SETTINGS, losses={"contrastive": None, "token_match": TokenMatch(teacher=str(same_teacher))})
    settings = changed(settings, regularization={"dropout": 0.0}, schedule={"steps": 2}, compiled=compiled)
    assert token_losses(data, start, settings, tmp_path / "pair")[0] == pytest.approx(0, abs=1e-5)


def test_tokens_come_nearer_to_those_of_a_wider_teacher(
    data: Path, start: DualEncoder, pair: DualEncoder, tmp_path: Path
) -> None:
    teacher = mean_pooled(pair)
    teacher.save_pretrained(tmp_path / "wide")
    match = TokenMatch(teacher=str(tmp_path / "wide" / "query_encoder"), share=1.0)
    settings = changed(
        SETTINGS,
        losses={"contrastive": None, "embedding_match": EmbeddingMatch(), "token_match": match},
        optimizer={"learning_rate": 0.02},
        schedule={"steps": 24},
    )
    distillation = Distillation(encoder=teacher, cache=tmp_path / "vectors")
    losses = token_losses(data, start, settings, tmp_path / "pair", distillation)
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_a_teacher_that_does_not_fit_is_refused(
    data: Path, start: DualEncoder, pair: DualEncoder, small_directory: Path, same_teacher: Path, tmp_path: Path
) -> None:
    mean_pooled(pair).save_pretrained(tmp_path / "wide")
    bundled = changed(SETTINGS, losses={"token_match": TokenMatch(teacher="bundled")})
    wide = changed(SETTINGS, losses={"token_match": TokenMatch(teacher=str(tmp_path / "wide"))})
    pooler = changed(SETTINGS, losses={"token_match": TokenMatch(teacher=str(small_directory))})
    same = changed(SETTINGS, losses={"token_match": TokenMatch(teacher=str(same_teacher))})
    for settings, problem in (
        (bundled, "the teacher has another vocabulary; expected the student's"),
        (wide, "vectors have 128 numbers, the student's 16; expected distillation beside it"),
        (pooler, "the teacher's vector is not the mean of its tokens' vectors"),
        (changed(same, batches={"chunk_size": 3}), r"losses\.token_match and batches\.chunk_size; expected one"),
    ):
        with pytest.raises(ValueError, match=problem):
            token_losses(data, start, settings, tmp_path / "pair")
    with pytest.raises(ValueError, match="share is 0"):
        TokenMatch(teacher="bundled", share=0.0)
