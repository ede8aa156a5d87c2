"""Recipe files: what `dpr-tiny train --recipe` runs, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.commands.train import train
from dpr_tiny_retriever.training import Settings, Stage, read_recipe

pytestmark = pytest.mark.training

app = typer.Typer()
app.command()(train)

RECIPE = """
stages:
  - name: words
    new: {tokenizer_from: $SMALL, layers: 0, width: 8, heads: 2, word_embeddings: table}
    settings: &settings
      schedule: {steps: 2}
      batches: {size: 6, hard_negatives: 0, max_query_length: 16, max_passage_length: 24}
      losses: {embedding_match: {weight: 1.0}}
  - name: layers
    layers: 1
    tied: true
    settings: {<<: *settings, seed: 3}
"""


def test_a_recipe_is_run_stage_by_stage(data: Path, small_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    model = small_directory / "query_encoder"
    arguments = [data, "--output", tmp_path / "pair", "--recipe", tmp_path / "recipe.yaml", "--model", f"SMALL={model}"]
    options = ["--teacher", model, "--backend", "numpy", "--threads", 1]
    for _ in range(2):  # a recipe that has ended is run anew
        changes = ["--set", "seed=5", "--set", "optimizer.learning_rate=1e-3"]
        result = CliRunner().invoke(app, list(map(str, [*arguments, *options, *changes])), catch_exceptions=False)
        output = result.output
        assert "stage 1 of 2: words" in output
        assert "2 steps, 0 records skipped" in output
    pair = DualEncoder.from_pretrained(tmp_path / "pair")
    assert (pair.embedding_dim, pair.query_encoder.config.num_hidden_layers) == (8, 1)
    card = (tmp_path / "pair" / "README.md").read_text()
    assert "Started from: words." in card
    assert "| seed | `5` |" in card
    assert "| optimizer.learning_rate | `0.001` |" in card


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("stages: [", "found no YAML"),
        ("stages: []", "found no stages"),
        ("- 1", "found no stages"),
        ("stages: [{name: a}]", "nothing to start from"),
        ("stages: [{name: a, start: $X}]", r"nothing is given for \$X"),
        ("stages: [{name: a, start: x, lr: 1}]", "stage 1: found lr; expected some of name, data, new, start"),
        (
            "stages: [{name: a, start: x, settings: {lr: 1}}]",
            "settings: found lr; expected some of schedule, optimizer",
        ),
        (
            "stages: [{name: a, start: x, settings: {optimizer: {lr: 1}}}]",
            "settings.optimizer: found lr; expected some of learning_rate, weight_decay",
        ),
        (
            "stages: [{name: a, start: x, settings: {schedule: {steps: 1.5}}}]",
            r"settings\.schedule\.steps is 1\.5; expected `int \| null`, got `float`",
        ),
        ("stages: [{name: a, start: x, settings: {seed: true}}]", r"settings\.seed is True; expected `int`"),
        (
            "stages: [{name: a, start: x, settings: {losses: {contrastive: {symmetric: nein}}}}]",
            r"settings\.losses\.contrastive\.symmetric is 'nein'; expected `bool`",
        ),
        (
            "stages: [{name: a, start: x, settings: {optimizer: {learning_rate: fast}}}]",
            "learning_rate is 'fast'; expected `float`",
        ),
        (
            "stages: [{name: a, start: x, settings: {optimizer: {learning_rate: 0}}}]",
            r"stage 1: settings\.optimizer\.learning_rate is 0; expected `float` > 0",
        ),
        ("stages: [{name: a, start: x, settings: [1]}]", r"settings is \[1\]; expected `object`"),
        ("stages: [{name: a, start: 3}]", r"start is 3; expected `str \| null`"),
        ("stages: [{name: a, new: {layers: 1}}]", "new: object missing required field `tokenizer_from`"),
        ("stages: [{name: a, new: {tokenizer_from: x, heads: two}}]", r"new\.heads is 'two'; expected `int`"),
        ("stages: [{name: a, new: {tokenizer_from: x, heads: 3}}]", "new: width 128 is no multiple of heads 3"),
        ("stages: [{name: a, new: {tokenizer_from: x}, layers: 3}]", "found new beside start or layers"),
        ("stages: [{settings: {}}]", "missing required field `name`"),
        ("stages: [a]", "stage 1: found 'a'; expected `object`"),
        ("stages: [{name: a, start: x}, {name: a}]", "found stages a, a; expected different names"),
        ("stages: [{name: a, mean: {x: 0.5, y: 0.4}}]", r"shares of a are \[0\.5, 0\.4\]; expected a sum of 1"),
        ("stages: [{name: a, mean: {$X: 1}}]", "nothing is given for \\$X; expected --model X=PATH"),
        ("{stages: [{name: a, start: x}], bundle: 1}", "found bundle: 1; expected 'stages', and 'bundle'"),
        ("{stages: [{name: a, start: x}], data: y}", "found data; expected 'stages', and 'bundle'"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_recipe(tmp_path / "recipe.yaml", {})


def trained_stages(path: Path) -> list[Stage]:
    return [stage for stage in read_recipe(path, {}).stages if isinstance(stage, Stage)]


def test_numbers_in_a_recipe_may_be_written_as_elsewhere(tmp_path: Path) -> None:
    values = "{optimizer: {learning_rate: 2e-5, clip_norm: null}, losses: {temperature: 1}}"
    text = f"stages: [{{name: a, start: x, settings: {values}}}, {{name: b}}]"
    (tmp_path / "recipe.yaml").write_text(text)
    first, second = trained_stages(tmp_path / "recipe.yaml")
    assert (first.settings.optimizer.learning_rate, first.settings.optimizer.clip_norm) == (2e-5, None)
    assert first.settings.losses.temperature == 1.0
    assert (second.start, second.settings) == (None, Settings())


def test_null_is_the_bundled_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("stages: [{name: a, new: {tokenizer_from: null}}]")
    (stage,) = trained_stages(tmp_path / "recipe.yaml")
    assert stage.new is not None
    assert stage.new.tokenizer_from is None


def test_changes_hold_for_all_stages_and_for_none_of_their_anchors(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "recipe.yaml", {"SMALL": "x"}, changes={"settings.batches.size": 4})
    stages = [stage for stage in recipe.stages if isinstance(stage, Stage)]
    assert [stage.settings.batches.size for stage in stages] == [4, 4]
    assert [stage.settings.batches.max_query_length for stage in stages] == [16, 16]
    assert [stage.settings.seed for stage in stages] == [0, 3]
