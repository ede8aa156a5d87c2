"""The haystack-ai example answers its questions, with a new folder and with an existing one."""

import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.haystack

EXAMPLE = Path(__file__).parents[2] / "examples" / "haystack_pipeline.py"

ANSWERS = {
    "What destroyed the ancient lighthouse of Alexandria?": "Lighthouse of Alexandria: Three earthquakes",
    "How do tardigrades survive in space?": "Tardigrade: When they dry out",
    "Why are the northern lights green?": "Northern lights: Oxygen makes them green",
    "How do bees tell each other where flowers are?": "Honey bee: A worker that has found flowers",
    "Who invented printing with movable type?": "Printing press: Johannes Gutenberg",
    "What happens to the Great Barrier Reef when the sea is too warm?": "Great Barrier Reef: When the sea",
}


def run_example(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--model", str(model), "--folder", str(folder)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_paragraph_that_answers_a_question_comes_first(
    minilm_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        run_example(minilm_directory, tmp_path / "index", monkeypatch)
        headline, *blocks = capsys.readouterr().out.split("\n\n")
        assert headline == "12 passages of 6 articles, 384 floats each"
        for block, (question, answer) in zip(blocks, ANSWERS.items(), strict=True):
            printed_question, best, second = block.strip().splitlines()
            assert printed_question == question
            assert answer in best
            assert float(best.split()[0]) >= float(second.split()[0])
