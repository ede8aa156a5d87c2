"""The index of `dpr-tiny search` where the user's cache can be read and not written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.commands.cli import commands


def search(folder: Path, question: str) -> tuple[str, str]:
    result = CliRunner().invoke(commands, ["search", str(folder), question, "--top-k", "1"], catch_exceptions=False)
    return result.stdout, result.stderr


def write(path: Path, content: str) -> None:
    """Write a file that is some minutes old: one of this instant is read again."""
    path.write_text(content, encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.mark.posix
def test_an_index_in_a_cache_that_cannot_be_written_to_is_read_and_brought_up_to_date_in_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "texts"
    folder.mkdir()
    write(folder / "garden.md", "Roses are cut in early spring.")
    assert "1 passage encoded" in search(folder, "When are roses cut?")[0]
    before = {path: path.read_bytes() for path in user_cache("search").rglob("*") if path.is_file()}

    own_access = os.access  # root may write everywhere: say what the system says of others
    cache = str(tmp_path / "cache")
    monkeypatch.setattr("os.access", lambda place, mode: not str(place).startswith(cache) and own_access(place, mode))
    output, errors = search(folder, "When are roses cut?")
    assert "Roses are cut" in output
    assert "encoded" not in output
    assert "The index is not kept" in errors
    write(folder / "kitchen.md", "Dough rests for an hour.")
    output, errors = search(folder, "How long does dough rest?")
    assert "1 passage encoded" in output
    assert "Dough rests" in output
    assert {path: path.read_bytes() for path in user_cache("search").rglob("*") if path.is_file()} == before
