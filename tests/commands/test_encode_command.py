"""The command encode: what it says, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.commands.encode import Progress
from dpr_tiny_retriever.corpus import ShardFolder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands, ["encode", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = [
        {"_id": "a", "title": "River", "text": "It is long."},
        {"_id": "b", "text": 7},
        {"_id": "c", "text": "x"},
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_corpus_is_encoded_checked_and_mended(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "shards"
    options = ("--format", "npy", "--rows-per-shard", "2", "--keep", "title")
    first = run(corpus, "--output", output, *options)
    assert first.exit_code == 0, "a row that cannot be used is a warning"
    assert "2 of 2 shards, 2 passages encoded" in first.stdout
    assert f"{corpus}:2: " in first.stderr
    assert "1 rows cannot be used" in first.stderr
    assert run("--check", output).exit_code == 0
    (output / "part-00001.npy").unlink()
    found = run("--check", output)
    assert (found.exit_code, found.stderr) == (1, "part-00001 is missing; run the same command again\n")
    assert "1 passages encoded" in run(corpus, "--output", output, *options).stdout
    assert [shard.ids for shard in ShardFolder(output).shards()] == [["a"], ["c"]]


def test_one_part_of_the_shards_is_made(corpus: Path, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "shards", "--format", "npy", "--rows-per-shard", "2")
    done = run(corpus, *options, "--shard", "2/2")
    assert "1 of 2 shards, 1 passages encoded" in done.stdout
    assert "1 shards are still to be made, by the other parts" in done.stderr


def test_a_folder_of_texts_is_split_into_passages(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "roses.md").write_text("# Roses\n\nRoses are cut in spring.\n\n# Bread\n\nDough rests for an hour.\n")
    run(folder, "--output", tmp_path / "shards", "--format", "npy", "--keep", "title", "--keep", "text")
    [shard] = ShardFolder(tmp_path / "shards").shards()
    assert shard.columns == {
        "title": ["Roses", "Bread"],
        "text": ["Roses are cut in spring.", "Dough rests for an hour."],
    }
    np.testing.assert_allclose(np.linalg.norm(shard.vectors, axis=1), 1, atol=1e-5)


def test_shards_with_exact_dot_know_it_and_questions_are_encoded_for_them(
    corpus: Path, pair_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "questions.txt").write_text("how long is the river\n")
    output, model = tmp_path / "shards", ("--model", pair_directory)
    options = ("--exact-dot", "--max-passage-length", "20", "--format", "npy", "--keep", "title", "--keep", "text")
    run(corpus, "--output", output, *model, *options)
    [shard] = ShardFolder(output).shards()
    assert shard.vectors.shape == (2, 129)
    arguments = [output, "--into", f"index:{tmp_path / 'index.sqlite'}", "--questions", tmp_path / "questions.txt"]
    loaded = CliRunner().invoke(commands, ["load", *map(str, arguments)], catch_exceptions=False)
    assert "recall@20 1.0000 for 1 questions" in loaded.stdout
    with pytest.raises(
        ValueError, match="exact_dot is True with vectors of int8, which would not rank exactly; expect"
    ):
        run(corpus, "--output", tmp_path / "others", *model, *options, "--dtype", "int8")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "found no inputs or no --output"),
        (("missing.jsonl", "--output", "shards"), "missing.jsonl"),
        (("corpus.jsonl", "--output", "shards", "--shard", "two"), "--shard is 'two'; expected I/N, such as 2/8"),
        (("corpus.jsonl", "--output", "shards", "--strict", "--format", "npy"), "corpus.jsonl:2: "),
        (("corpus.jsonl", "--output", "shards", "--text", "body"), "body"),
    ],
)
def test_what_cannot_be_encoded_is_refused(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(corpus.parent)
    with pytest.raises((ValueError, OSError), match=problem):
        run(*arguments)


def test_without_a_terminal_a_line_a_minute_tells_the_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 30.0, 60.0, 90.0, 125.0])
    stopped = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("dpr_tiny_retriever.commands.encode.time", stopped)
    with Progress() as progress:
        for encoded in (1_000, 6_000, 9_000, 12_500):
            progress.count(encoded, 37_500)
    assert capsys.readouterr().err.splitlines() == [
        "6,000 passages encoded, 100 a second, some 5 minutes left",
        "12,500 passages encoded, 100 a second, some 4 minutes left",
    ]


def test_while_all_vectors_are_copied_the_time_left_is_not_guessed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 60.0, 120.0])
    stopped = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("dpr_tiny_retriever.commands.encode.time", stopped)
    with Progress() as progress:
        for encoded in (0, 1_200):
            progress.count(encoded, 1_000)
    assert capsys.readouterr().err.splitlines() == [
        "0 passages encoded, 0 a second",
        "1,200 passages encoded, 10 a second, some 0 minutes left",
    ]
