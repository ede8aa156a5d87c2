"""The engines of `dpr-tiny encode` are refused at once where they cannot run."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpr_tiny_retriever.commands.cli import commands


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            ["--engine", "ray"],
            ImportError,
            'needs Ray, which is not installed; run: pip install "dpr-tiny-retriever.ray',
        ),
        (
            ["--workers", "2"],
            ValueError,
            "found --workers 2 without Ray; expected --engine ray too, or --threads alone",
        ),
    ],
)
def test_engines_that_cannot_run_are_refused_before_a_model_is_loaded(
    options: list[str], kind: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    command = ["encode", str(tmp_path / "none.jsonl"), "--output", str(tmp_path / "out"), "--model", "no/such-model"]
    error = CliRunner().invoke(commands, [*command, *options]).exception
    assert isinstance(error, kind)
    with pytest.raises(kind, match=message):
        raise error
    assert not (tmp_path / "out").exists()
