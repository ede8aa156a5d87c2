"""The commands search and demo, on a real store on disk and with a model that ranks sensibly."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.commands.search import _typed
from dpr_tiny_retriever.data.text_files import Text, read_folder
from dpr_tiny_retriever.retrieval.passage_index import Index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "garden.md").write_text("# Roses\n\nRoses are cut in early spring, above an outer bud.", encoding="utf-8")
    (folder / "kitchen.txt").write_text("Bread dough rests for an hour before it is baked.", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def encoder(minilm_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(minilm_directory)


def run(*arguments: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(commands, [str(argument) for argument in arguments], input=typed, catch_exceptions=False)


def test_a_question_finds_the_passage_that_answers_it(folder: Path, tmp_path: Path, minilm_directory: Path) -> None:
    options = ("--model", minilm_directory, "--index", tmp_path / "index", "--top-k", "1")
    first = run("search", folder, "When should I prune roses?", *options)
    assert "2 passages encoded" in first.output
    assert "Roses  [garden.md]" in first.output
    assert "kitchen" not in first.output
    second = run("search", folder, *options, typed="How long does dough rest?\n\nWhen are roses cut?\n")
    assert "encoded" not in second.output, "the second run finds its index"
    assert "kitchen  [kitchen.txt]" in second.output
    assert "Roses  [garden.md]" in second.output, "an empty line in a file of questions ends nothing"


def test_an_empty_line_ends_typed_questions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("How long does dough rest?\n\nWhen are roses cut?\n"))
    assert list(_typed()) == ["How long does dough rest?"]
    assert capsys.readouterr().out.count("Question (an empty line ends)") == 2


def test_an_index_follows_its_texts(folder: Path, tmp_path: Path, encoder: DualEncoder) -> None:
    with closing(Index(tmp_path / "index", encoder)) as index:
        assert (index.update(read_folder(folder)), len(index)) == (2, 2)
        (folder / "sea.txt").write_text("The tide turns twice a day.", encoding="utf-8")
        (folder / "kitchen.txt").unlink()
        assert (index.update(read_folder(folder)), len(index)) == (1, 2)
        assert [hit.source for hit in index.search("When does the tide turn?", top_k=5)] == ["sea.txt", "garden.md"]


def test_an_interrupted_index_keeps_what_was_written(tmp_path: Path, encoder: DualEncoder) -> None:
    texts = [Text(f"t{number}", f"This is text number {number}.", "made") for number in range(30)]
    with closing(Index(tmp_path / "index", encoder)) as index:
        index.update(texts[:10])
    with closing(Index(tmp_path / "index", encoder)) as index:
        assert index.update(texts) == 20


# The store's client leaves its lock file open when it is refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_index_serves_one_run_at_a_time(tmp_path: Path, encoder: DualEncoder) -> None:
    with closing(Index(tmp_path / "index", encoder)), pytest.raises(BlockingIOError, match="no other run uses"):
        Index(tmp_path / "index", encoder)


def test_models_do_not_share_vectors(folder: Path, tmp_path: Path, encoder: DualEncoder, pair_directory: Path) -> None:
    with closing(Index(tmp_path / "index", encoder)) as index:
        index.update(read_folder(folder))
    with closing(Index(tmp_path / "index", DualEncoder.from_pretrained(pair_directory))) as other:
        assert len(other) == 0


def test_what_a_user_can_mend_is_one_line(tmp_path: Path) -> None:
    program = "from dpr_tiny_retriever.commands.cli import app; app()"
    found = subprocess.run(
        [sys.executable, "-c", program, "search", str(tmp_path / "missing"), "a question"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.startswith("Error: there is no folder")
    assert len(found.stderr.splitlines()) == 1
