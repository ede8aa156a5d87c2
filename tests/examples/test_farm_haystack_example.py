"""The farm-haystack example indexes and answers, and later processes answer from its index."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.farm_haystack

# Both are read when haystack is imported.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"  # it warns of SQLAlchemy 2, which farm-haystack excludes

EXAMPLE = Path(__file__).parents[2] / "examples" / "farm_haystack_pipeline.py"

ANSWERS = {
    "Which planet has a day longer than its year?": "Venus",
    "How was Neptune discovered?": "Neptune",
    "Why is Pluto no longer a planet?": "Pluto",
}


def test_every_run_answers_from_the_index_of_the_first(
    minilm_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [
        "--model",
        str(minilm_directory),
        "--embedding-dim",
        "384",
        "--folder",
        str(tmp_path / "index"),
    ]
    printed = {}
    for run, (question, title) in enumerate(ANSWERS.items()):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), question, *options])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        *headline, printed_question, best, second = printed[question] = capsys.readouterr().out.splitlines()
        assert headline == (["indexed 12 passages"] if run == 0 else [])
        assert printed_question == question
        (score, passage), (next_score, _) = (line.split(maxsplit=1) for line in (best, second))
        assert passage.startswith(f"{title}: ")
        assert float(score) >= float(next_score)

    question, *_ = ANSWERS
    fresh = subprocess.run(
        [sys.executable, str(EXAMPLE), "--folder", str(tmp_path / "index")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert fresh.stdout.splitlines() == printed[question][1:]
