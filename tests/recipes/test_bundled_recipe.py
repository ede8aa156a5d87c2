"""The recipes that made the bundled pair can still be run, on tiny data here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mean
import numpy as np
import pytest
import train_bundled
import yaml

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.training import NewModel, Stage, new_pair, read_recipe

pytestmark = pytest.mark.training

RECIPES = Path(__file__).parents[2] / "recipes"
TINY: dict[str, Any] = {
    "settings.schedule.steps": 3,
    "settings.batches.size": 6,
    "settings.batches.max_query_length": 32,
    "settings.batches.max_passage_length": 32,
    "extras.batches.topics": 2,
    "extras.batches.queue": 7,
    "extras.projection_steps": 2,
}


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("bundled", "MINILM", ["words", "layers"]),
        ("bundled_again", "MEAN", ["again"]),
        ("bundled_asked", "DISTILLED", ["asked"]),
        ("asked", "SHIPPED", ["asked"]),
    ],
)
def test_the_bundled_pairs_recipes_can_be_read(name: str, model: str, expected: list[str]) -> None:
    stages = read_recipe(RECIPES / f"{name}.yaml", {model: "folder"}, kind=train_bundled.BundledStage)
    assert [stage.name for stage in stages] == expected
    assert all(stage.tied or stage.new is not None for stage in stages)
    with pytest.raises(ValueError, match="found extras; expected some of"):
        read_recipe(RECIPES / f"{name}.yaml", {model: "folder"})  # the package has none of the extras


def test_the_bundled_recipe_runs_from_data_to_the_folder_that_ships(
    data: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    recipe = yaml.safe_load((RECIPES / "bundled.yaml").read_text(encoding="utf-8"))
    recipe["stages"][0]["new"] |= {"width": 16}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    output = tmp_path / "pair"
    changes = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
    arguments = [data, "--recipe", tmp_path / "small.yaml", "--output", output, "--teacher", teacher_directory]
    train_bundled.main([*map(str, [*arguments, "--model", f"MINILM={teacher_directory}"]), *changes])
    bag = DualEncoder.from_pretrained(output / "training" / "words").query_encoder
    pair = DualEncoder.from_pretrained(output)
    assert (bag.config.num_hidden_layers, pair.query_encoder.config.num_hidden_layers) == (0, 2)
    assert pair.query_encoder.weights.layers[0].output.kernel.any()  # trained: it begins at zero
    assert "| extras | " in (output / "README.md").read_text(encoding="utf-8")

    subprocess.run(
        [sys.executable, RECIPES / "mean.py", tmp_path / "mean", f"{output}=0.5", f"{output}=0.5"], check=True
    )
    bundle = [sys.executable, RECIPES / "bundle.py", tmp_path / "mean", tmp_path / "bundled"]
    subprocess.run(bundle, check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    shipped = DualEncoder.from_pretrained(tmp_path / "bundled")
    vectors = pair.encode_queries(["who wrote the river"])
    np.testing.assert_allclose(shipped.encode_queries(["who wrote the river"]), vectors, atol=0.01)


def test_a_bag_of_words_begins_with_the_teachers_vectors_of_words(teacher_directory: Path) -> None:
    new = NewModel(tokenizer_from=str(teacher_directory), layers=0, width=16, heads=2)
    source = DualEncoder.from_pretrained(teacher_directory).passage_encoder
    vectors = train_bundled.token_vectors(source)
    token = source.tokenizer.tokenize([("", "river")], 8).ids[1]
    np.testing.assert_allclose(vectors[token], source.encode(["river"])[0], atol=1e-5)
    words = train_bundled.principal_words(vectors, 16)
    stage = Stage(name="words", new=new)
    pair = train_bundled.with_word_vectors(new_pair(new), stage, None)
    np.testing.assert_array_equal(pair.query_encoder.weights.embeddings.word, words)
    np.testing.assert_allclose(words.std(axis=1), 0.1, atol=1e-4)


def test_a_mean_has_shares_of_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mean.py", str(tmp_path / "mean"), "a=0.5", "b=0.4"])
    with pytest.raises(SystemExit, match="expected a sum of 1"):
        mean.main()
