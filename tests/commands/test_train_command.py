"""The commands `dpr-tiny train` and `dpr-tiny mine`, and their options."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from model_folders import bert_record, write_model
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.commands.mine import mine
from dpr_tiny_retriever.commands.train import train
from dpr_tiny_retriever.training import read_examples

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
        (["--passage-model", "a"], "found --passage-model without --query-side-only; expected --teacher"),
        (["--query-side-only"], "found --query-side-only without --passage-model"),
        (["--query-side-only", "--new", "a", "--replicas", "2"], "found --new and --replicas with --query-side-only"),
        (["--query-side-only", "--passage-model", "a", "--set", "seeds=1"], "the options: found seeds; expected some"),
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


def test_a_query_encoder_alone_is_trained_on_questions(small_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("\n".join(f"who wrote the {word}" for word in ("city", "river", "tower")))
    teacher = write_model(tmp_path / "teacher", bert_record(layers=1, width=32), seed=5)
    values = ["schedule.steps=2", "batches.size=2", "losses.score_match=0.5"]
    options = ["--start", small_directory, "--query-side-only", "--passage-model", teacher, "--backend", "numpy"]
    options += [part for value in values for part in ("--set", value)]
    output = run("train", tmp_path / "questions.txt", "--output", tmp_path / "pair", *options)
    assert "2 steps on 3 questions, 0 records skipped" in output
    pair = DualEncoder.from_pretrained(tmp_path / "pair")
    assert (pair.embedding_dim, pair.query_encoder.config.hidden_size) == (32, 16)
    assert "| losses.score_match | `0.5` |" in (tmp_path / "pair" / "README.md").read_text()
