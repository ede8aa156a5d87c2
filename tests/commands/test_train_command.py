"""The commands `dpr-tiny train` and `dpr-tiny mine`, and recipe files."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.commands.mine import mine
from dpr_tiny_retriever.commands.train import train
from dpr_tiny_retriever.training import Settings, read_examples
from dpr_tiny_retriever.training.recipe import read_recipe

pytestmark = pytest.mark.training

app = typer.Typer()
app.command()(train)
app.command()(mine)

RECIPE = """
stages:
  - name: words
    new: {tokenizer_from: $SMALL, layers: 1, width: 8, heads: 2, words: table}
    tied: true
    settings: &settings
      steps: 2
      batch_size: 6
      hard_negatives: 0
      max_query_length: 16
      max_passage_length: 24
      words_only: true
      match_weight: 1.0
  - name: layers
    tied: true
    settings: {<<: *settings, words_only: false}
"""


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_recipe_is_run_stage_by_stage(data: Path, small_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    model = small_directory / "query_encoder"
    output = run(
        "train",
        data,
        "--output",
        tmp_path / "pair",
        "--recipe",
        tmp_path / "recipe.yaml",
        "--model",
        f"SMALL={model}",
        "--teacher",
        model,
        "--seed",
        5,
        "--set",
        "learning_rate=1e-3",
    )
    assert "stage 1 of 2: words" in output
    assert DualEncoder.from_pretrained(tmp_path / "pair").embedding_dim == 8
    card = (tmp_path / "pair" / "README.md").read_text()
    assert "Started from: words." in card
    assert "| seed | `5` |" in card
    assert "| learning_rate | `0.001` |" in card


def test_options_become_settings(data: Path, small_directory: Path, tmp_path: Path) -> None:
    output = run(
        "train",
        data,
        "--output",
        tmp_path / "pair",
        "--start",
        small_directory,
        "--steps",
        2,
        "--batch-size",
        4,
        "--set",
        "learning_rate=1e-3",
        "--set",
        "symmetric=true",
        "--set",
        "max_passage_length=20",
        "--licence",
        "mit",
    )
    assert "2 steps, 0 records left out" in output
    card = (tmp_path / "pair" / "README.md").read_text()
    for part in ("| learning_rate | `0.001` |", "| symmetric | `True` |", "| batch_size | `4` |", "license: mit"):
        assert part in card


def test_mined_negatives_are_written_as_training_data(data: Path, small_directory: Path, tmp_path: Path) -> None:
    for options in ([], ["--model", small_directory]):
        path = tmp_path / f"mined{len(options)}.json.gz"
        output = run("mine", data, "--output", path, "--count", 2, "--no-exclude-answers", *options)
        assert "24 questions, 0 records left out" in output
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
        ("stages: [{name: a, start: x, lr: 1}]", "found lr; expected some of"),
        ("stages: [{name: a, start: x, settings: {lr: 1}}]", "settings: found lr; expected some of"),
        ("stages: [{name: a, start: x, settings: {steps: 1.5}}]", "settings: steps is 1.5; expected a whole number"),
        ("stages: [{name: a, start: x, settings: {steps: true}}]", "steps is True; expected a whole number"),
        ("stages: [{name: a, start: x, settings: {symmetric: nein}}]", "symmetric is 'nein'; expected true or false"),
        ("stages: [{name: a, start: x, settings: {learning_rate: fast}}]", "'fast'; expected a number"),
        ("stages: [{name: a, start: x, settings: {learning_rate: 0}}]", r"stage 1, settings: learning_rate is 0\.0"),
        ("stages: [{name: a, start: x, settings: [1]}]", r"settings is \[1\]; expected names with their values"),
        ("stages: [{name: a, start: 3}]", "start is 3; expected a text"),
        ("stages: [{name: a, new: {layers: 1}}]", "stage 1, new: found no tokenizer_from"),
        ("stages: [{name: a, new: {tokenizer_from: x, heads: two}}]", "heads is 'two'; expected a whole number"),
        ("stages: [{settings: {}}]", "found no name"),
        ("stages: [a]", "found 'a'; expected names with their values"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_recipe(tmp_path / "recipe.yaml", {})


def test_numbers_in_a_recipe_may_be_written_as_elsewhere(tmp_path: Path) -> None:
    text = "stages: [{name: a, start: x, settings: {learning_rate: 2e-5, clip_norm: null, temperature: 1}}, {name: b}]"
    (tmp_path / "recipe.yaml").write_text(text)
    first, second = read_recipe(tmp_path / "recipe.yaml", {})
    assert (first.settings.learning_rate, first.settings.clip_norm, first.settings.temperature) == (2e-5, None, 1.0)
    assert (second.start, second.settings) == (None, Settings())


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("bundled", "MINILM", ["words", "layers"]),
        ("bundled_again", "MEAN", ["again"]),
        ("bundled_asked", "DISTILLED", ["asked"]),
    ],
)
def test_the_bundled_pairs_recipes_can_be_read(name: str, model: str, expected: list[str]) -> None:
    stages = read_recipe(Path(__file__).parents[2] / "recipes" / f"{name}.yaml", {model: "folder"})
    assert [stage.name for stage in stages] == expected
    assert all(stage.settings.distils and stage.tied for stage in stages)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set", "lr=1"], "found lr; expected some of"),
        (["--set", "steps=["], r"found steps=\[; expected a number"),
        (["--set", "epochs=two"], "epochs is 'two'; expected a whole number"),
        (["--set", "steps"], "expected NAME=VALUE"),
        (["--new", "a", "--start", "b"], "expected one of them"),
        (["--recipe", "r.yaml", "--width", "8"], "expected one or the other"),
        (["--replicas", "0"], "replicas is 0"),
        (["--width", "64", "--words", "random"], "found --width, --words without --new"),
        (["--model", "A=b"], "found --model without --recipe"),
        (["--teacher", "a", "--teacher-vectors", "b"], "expected one of them"),
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
    with pytest.raises(ValueError, match=r"there is a teacher, and .* asks for it"):
        run("train", data, "--output", tmp_path / "pair", "--teacher", small_directory, *options)
