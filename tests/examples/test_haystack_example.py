"""The haystack-ai example indexes and answers, and later processes answer from its index."""

import runpy
import subprocess
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


def test_the_paragraph_that_answers_a_question_comes_first_now_and_in_a_later_process(
    minilm_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--folder", str(tmp_path / "index")]
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--model", str(minilm_directory), *options])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    headline, *blocks = printed = capsys.readouterr().out.split("\n\n")
    assert headline == "indexed 12 passages of 6 articles"
    for block, (question, answer) in zip(blocks, ANSWERS.items(), strict=True):
        printed_question, best, reason, second, _ = block.strip().splitlines()
        assert printed_question == question
        assert answer in best
        assert "rank 1 by " in reason
        assert float(best.split()[0]) >= float(second.split()[0])

    later = subprocess.run([sys.executable, str(EXAMPLE), *options], capture_output=True, text=True, check=True)
    assert later.stdout.strip().split("\n\n") == [block.strip() for block in printed[1:]]
