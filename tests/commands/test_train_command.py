"""The commands `dpr-tiny train` and `dpr-tiny mine`, and recipe files."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.commands.mine import mine
from dpr_tiny_retriever.commands.train import train
from dpr_tiny_retriever.training import Settings, read_examples, read_recipe

pytestmark = [pytest.mark.also_lowest, pytest.mark.training]

app = typer.Typer()
app.command()(train)
app.command()(mine)

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


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_recipe_is_run_stage_by_stage(data: Path, small_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    model = small_directory / "query_encoder"
    arguments = [data, "--output", tmp_path / "pair", "--recipe", tmp_path / "recipe.yaml", "--model", f"SMALL={model}"]
    options = ["--teacher", model, "--backend", "numpy", "--threads", 1]
    for _ in range(2):  # a recipe that has ended is run anew
        output = run("train", *arguments, *options, "--set", "seed=5", "--set", "optimizer.learning_rate=1e-3")
        assert "stage 1 of 2: words" in output
        assert "2 steps, 0 records skipped" in output
    pair = DualEncoder.from_pretrained(tmp_path / "pair")
    assert (pair.embedding_dim, pair.query_encoder.config.num_hidden_layers) == (8, 1)
    card = (tmp_path / "pair" / "README.md").read_text()
    assert "Started from: words." in card
    assert "| seed | `5` |" in card
    assert "| optimizer.learning_rate | `0.001` |" in card


def test_options_become_settings(data: Path, small_directory: Path, tmp_path: Path) -> None:
    values = ["schedule.steps=2", "batches.size=4", "optimizer.learning_rate=1e-3", "losses.contrastive.symmetric=true"]
    values += ["batches.max_passage_length=20", "tied=true", "layers=2"]
    output = run(
        "train",
        *(data, "--output", tmp_path / "pair", "--start", small_directory, "--license", "mit"),
        *(part for value in values for part in ("--set", value)),
    )
    assert "2 steps, 0 records skipped" in output
    card = (tmp_path / "pair" / "README.md").read_text()
    for part in (
        "| optimizer.learning_rate | `0.001` |",
        "| losses.contrastive.symmetric | `True` |",
        "| batches.size | `4` |",
        "license: mit",
        "one encoder for both sides",
        "| layers, width, heads | 2, 16, 2 |",
    ):
        assert part in card


def test_a_new_model_has_the_shape_that_is_set(data: Path, small_directory: Path, tmp_path: Path) -> None:
    values = ["schedule.steps=1", "batches.size=4", "new.layers=1", "new.width=8", "new.word_embeddings=random"]
    options = ["--new", small_directory / "query_encoder", *(part for value in values for part in ("--set", value))]
    run("train", data, "--output", tmp_path / "pair", *options)
    assert DualEncoder.from_pretrained(tmp_path / "pair").embedding_dim == 8


def test_mined_negatives_are_written_as_training_data(data: Path, small_directory: Path, tmp_path: Path) -> None:
    for options in ([], ["--model", small_directory, "--backend", "numpy", "--threads", 1]):
        path = tmp_path / f"mined{len(options)}.json.gz"
        output = run("mine", data, "--output", path, "--count", 2, "--no-exclude-answers", *options)
        assert "24 questions, 0 records skipped" in output
        examples = list(read_examples(path))
        assert [example.question for example in examples] == [example.question for example in read_examples(data)]
        assert all(len(example.hard_negatives) == 2 for example in examples)
        assert not any(set(example.hard_negatives) & set(example.positives) for example in examples)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("stages: [", "found no YAML"),
        ("stages: []", "found no stages"),
        ("- 1", "found no stages"),
        ("stages: [{name: a}]", "nothing to start from"),
        ("stages: [{name: a, start: $X}]", r"no model is given for \$X"),
        ("stages: [{name: a, start: x, lr: 1}]", "stage 1: found lr; expected some of name, new, start"),
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
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_recipe(tmp_path / "recipe.yaml", {})


def test_numbers_in_a_recipe_may_be_written_as_elsewhere(tmp_path: Path) -> None:
    values = "{optimizer: {learning_rate: 2e-5, clip_norm: null}, losses: {temperature: 1}}"
    text = f"stages: [{{name: a, start: x, settings: {values}}}, {{name: b}}]"
    (tmp_path / "recipe.yaml").write_text(text)
    first, second = read_recipe(tmp_path / "recipe.yaml", {})
    assert (first.settings.optimizer.learning_rate, first.settings.optimizer.clip_norm) == (2e-5, None)
    assert first.settings.losses.temperature == 1.0
    assert (second.start, second.settings) == (None, Settings())


def test_null_is_the_bundled_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("stages: [{name: a, new: {tokenizer_from: null}}]")
    (stage,) = read_recipe(tmp_path / "recipe.yaml", {})
    assert stage.new is not None
    assert stage.new.tokenizer_from is None


def test_changes_hold_for_all_stages_and_for_none_of_their_anchors(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    stages = read_recipe(tmp_path / "recipe.yaml", {"SMALL": "x"}, changes={"settings.batches.size": 4})
    assert [stage.settings.batches.size for stage in stages] == [4, 4]
    assert [stage.settings.batches.max_query_length for stage in stages] == [16, 16]
    assert [stage.settings.seed for stage in stages] == [0, 3]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set", "lr=1"], "the options: settings: found lr; expected some of"),
        (["--set", "schedule.steps=["], r"found schedule\.steps=\[; expected a number"),
        (["--set", "schedule.epochs=two"], r"schedule\.epochs is 'two'; expected `int`"),
        (["--set", "schedule.steps"], "expected NAME=VALUE"),
        (["--new", "a", "--start", "b"], "found --start and --new; expected one of them"),
        (["--recipe", "r.yaml", "--start", "b"], "expected one of them"),
        (["--recipe", "r.yaml", "--set", "layers=3"], "found --recipe and --set layers"),
        (["--replicas", "0"], "replicas is 0"),
        (["--set", "new.width=64"], r"found --set new\.width without --new"),
        (["--new", "a", "--set", "new.shape=64"], "new: found shape; expected some of tokenizer_from"),
        (["--model", "A=b"], "found --model without --recipe"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    data: Path, tmp_path: Path, options: list[str], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        run("train", data, "--output", tmp_path / "pair", *options)


@pytest.mark.parametrize("recipe", [False, True])
def test_a_teacher_that_nothing_asks_for_is_refused(
    data: Path, small_directory: Path, tmp_path: Path, recipe: bool
) -> None:
    (tmp_path / "recipe.yaml").write_text("stages: [{name: a, start: x}]")
    options = ["--recipe", tmp_path / "recipe.yaml"] if recipe else ["--start", small_directory]
    with pytest.raises(ValueError, match="there is a teacher, and no stage has a loss that asks for it"):
        run("train", data, "--output", tmp_path / "pair", "--teacher", small_directory, *options)
