"""The recipes that made the bundled pairs can still be run, on tiny data here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.commands.train import train
from dpr_tiny_retriever.training import Stage, read_recipe

pytestmark = pytest.mark.training

app = typer.Typer()
app.command()(train)

RECIPES = Path(__file__).parents[2] / "recipes"
TINY: dict[str, Any] = {
    "schedule.steps": 3,
    "batches.size": 6,
    "batches.max_query_length": 32,
    "batches.max_passage_length": 32,
    "batches.topics": 2,
    "batches.queue": 7,
    "losses.embedding_match.projection_steps": 2,
}


class Names(dict[str, str]):
    """A name for whatever a recipe asks for."""

    def __missing__(self, name: str) -> str:
        return name

    def __contains__(self, name: object) -> bool:
        return True


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_bundled_pairs_recipes_can_be_read(path: Path) -> None:
    recipe = read_recipe(path, Names())
    runs = [stage for stage in recipe.stages if isinstance(stage, Stage)]
    assert recipe.bundle
    assert all(stage.uses_teacher and stage.data for stage in runs)


def test_the_bundled_recipe_runs_from_data_to_the_folder_that_ships(
    data: Path, teacher_directory: Path, tmp_path: Path
) -> None:
    recipe = yaml.safe_load((RECIPES / "bundled.yaml").read_text(encoding="utf-8"))
    words, layers, *_ = recipe["stages"]
    words["new"]["width"] = 16
    mean = {"name": "mean", "mean": {"layers": 0.75, "words_deeper": 0.25}}
    deeper = {**layers, "name": "words_deeper", "start": "words"}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({"stages": [words, layers, deeper, mean], "bundle": True}))
    output = tmp_path / "pair"
    arguments = ["--recipe", tmp_path / "small.yaml", "--output", output, "--teacher", teacher_directory]
    named = ["--model", f"MINILM={teacher_directory}", "--model", f"FIRST={data}"]
    changes = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
    result = CliRunner().invoke(app, list(map(str, [*arguments, *named, *changes])), catch_exceptions=False)
    assert "stage 4 of 4: mean" in result.output
    bag = DualEncoder.from_pretrained(output / "training" / "words").query_encoder
    parts = [DualEncoder.from_pretrained(output / "training" / name) for name in ("layers", "words_deeper")]
    pair, shipped = DualEncoder.from_pretrained(output), DualEncoder.from_pretrained(output / "bundle")
    assert (bag.config.num_hidden_layers, pair.query_encoder.config.num_hidden_layers) == (0, 2)
    kernels = [part.query_encoder.weights.layers[0].output.kernel for part in (*parts, pair)]
    assert kernels[0].any()  # trained: it begins at zero
    np.testing.assert_allclose(kernels[2], 0.75 * kernels[0] + 0.25 * kernels[1], atol=1e-7)
    vectors = pair.encode_queries(["who wrote the river"])
    np.testing.assert_allclose(shipped.encode_queries(["who wrote the river"]), vectors, atol=0.01)
    assert shipped.query_encoder.weights is shipped.passage_encoder.weights
