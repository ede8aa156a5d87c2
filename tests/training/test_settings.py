"""Settings: what is refused, and what they make of the optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_examples import stored
from training_runs import SETTINGS, changed, quiet

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import (
    KLDivergence,
    Regularization,
    Settings,
    TrainingData,
    train,
)
from dpr_tiny_retriever.training.batches import BatchMaker
from dpr_tiny_retriever.training.optimization import WarmUp
from dpr_tiny_retriever.training.trainer import build_model
from dpr_tiny_retriever.training.validated import validated

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("section", "values", "problem"),
    [
        ("batches", {"size": 0}, "size is 0; expected `int` >= 1"),
        ("batches", {"hard_negatives": -1}, "hard_negatives is -1; expected `int` >= 0"),
        ("batches", {"max_passage_length": 2}, "max_passage_length is 2; expected `int` >= 3"),
        ("optimizer", {"learning_rate": 0.0}, r"learning_rate is 0\.0; expected `float` > 0"),
        ("optimizer", {"learning_rate": float("nan")}, "learning_rate is nan"),
        ("regularization", {"dropout": 1.0}, r"dropout is 1\.0; expected `float` < 1"),
        ("losses", {"temperature": "cold"}, "temperature is 'cold'; expected `float"),
    ],
)
def test_settings_that_cannot_work_are_refused(section: str, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        changed(SETTINGS, **{section: values})
    with pytest.raises(ValueError, match=rf"run\.yaml: {section}\.{problem}"):
        validated(Settings, {section: values}, "run.yaml")


def test_compiled_kernels_and_dropout_inside_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"compiled and regularization\.dropout_inside are set; expected one of them"):
        Settings(compiled=True, regularization=Regularization(dropout_inside=True))


def test_a_precision_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(ValueError, match="precision is 'float8'; invalid enum value"):
        Settings(precision="float8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight is 0"):
        KLDivergence(weight=0)


def test_a_run_without_what_its_settings_need_is_refused(data: Path, small_pair: DualEncoder, tmp_path: Path) -> None:
    for settings, problem in (
        (changed(SETTINGS, losses={"kl_divergence": KLDivergence()}), "need a teacher"),
        (changed(SETTINGS, losses={"contrastive": None}), "found no loss"),
        (changed(SETTINGS, evaluation={"patience": 1}), "no dev examples"),
    ):
        with pytest.raises(ValueError, match=problem):
            train(TrainingData([data]), tmp_path, start=small_pair, settings=settings, options=quiet())


def test_data_without_examples_is_refused(small_pair: DualEncoder, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(ValueError, match=r"no examples in .*empty\.json"):
        train(TrainingData([tmp_path / "empty.json"]), tmp_path / "out", start=small_pair, options=quiet())
    with pytest.raises(ValueError, match="dev_share is 1"):
        TrainingData([tmp_path / "empty.json"], dev_share=1)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    schedule = WarmUp(0.5, total=10, warmup=4)
    rates = [float(schedule(step)) for step in range(11)]
    np.testing.assert_allclose(rates[:4], [0.125, 0.25, 0.375, 0.5])
    np.testing.assert_allclose(rates[4:], 0.5 * np.arange(6, -1, -1) / 6, atol=1e-6)


def test_biases_and_layer_norms_have_no_weight_decay(small_pair: DualEncoder) -> None:
    maker = BatchMaker(stored(small_pair), SETTINGS, None)
    model = build_model(small_pair, maker, SETTINGS.losses.chosen())
    decayed = {v.name for v in model.trainable_variables if model.optimizer._use_weight_decay(v)}
    spared = {v.name for v in model.trainable_variables} - decayed
    assert all("bias" in name or "norm" in name for name in spared)
    assert not any("bias" in name or "norm" in name for name in decayed)
    assert {"embeddings_word", "layers_0_query_key_value_kernel"} <= decayed
