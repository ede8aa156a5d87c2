"""The commands search and demo, on a real index on disk and with a model that ranks sensibly."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
from pathlib import Path

import pytest
from model_folders import write_pair
from typer.testing import CliRunner, Result

from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.commands.search import search

pytestmark = pytest.mark.also_lowest


@pytest.fixture(autouse=True)
def cache(own_user_cache: Path) -> Path:
    return own_user_cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    write(folder / "garden.md", "# Roses\n\nRoses are cut in early spring, above an outer bud.")
    write(folder / "kitchen.txt", "Bread dough rests for an hour before it is baked.")
    return folder


def write(path: Path, content: str) -> None:
    """Write a file that is some minutes old: one of this instant is read again, lest a change be missed."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))


def run(*arguments: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(commands, [str(argument) for argument in arguments], input=typed, catch_exceptions=False)


def index_files() -> list[Path]:
    return sorted(path for path in user_cache("search").rglob("*") if path.is_file())


def test_a_question_finds_the_passage_that_answers_it(folder: Path, tmp_path: Path, minilm_directory: Path) -> None:
    options = ("--model", minilm_directory, "--index", tmp_path / "index", "--top-k", "1")
    first = run("search", folder, "When should I prune roses?", *options)
    assert "2 passages encoded" in first.output
    assert "Roses  [garden.md:3]" in first.output
    assert "kitchen" not in first.output
    second = run("search", folder, *options, typed="How long does dough rest?\n\nWhen are roses cut?\n")
    assert "encoded" not in second.output, "the second run finds its index"
    assert "kitchen  [kitchen.txt:1]" in second.output
    assert "Roses  [garden.md:3]" in second.output, "an empty line in a file of questions ends nothing"


def test_an_empty_line_ends_typed_questions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("How long does dough rest?\n\nWhen are roses cut?\n"))
    screen = io.StringIO()
    monkeypatch.setattr("sys.stdout", screen)
    search(folder)
    assert screen.getvalue().count("Question (an empty line ends)") == 2
    assert "How long does dough rest?  (" in screen.getvalue()
    assert "When are roses cut?  (" not in screen.getvalue()


def test_the_index_follows_the_folder(folder: Path) -> None:
    question = "When does the tide turn?"
    assert "2 passages encoded" in run("search", folder, question).output
    write(folder / "sea.txt", "The tide turns twice a day.")
    (folder / "kitchen.txt").unlink()
    output = run("search", folder, question).output
    assert "2 passages in" in output
    assert "1 passage encoded" in output
    assert "[sea.txt:1]" in output
    assert "[kitchen.txt:1]" not in output
    write(folder / "sea.txt", "The moon pulls the sea up twice a day.")
    assert "The moon pulls the sea" in run("search", folder, question).output


def test_a_line_is_right_after_a_change_above_it(folder: Path) -> None:
    run("search", folder, "When are roses cut?")
    write(folder / "garden.md", "# Tulips\n\n" + (folder / "garden.md").read_text())
    assert "Roses  [garden.md:5]" in run("search", folder, "When are roses cut?").output


def test_unchanged_files_are_not_read_again(folder: Path) -> None:
    run("search", folder, "When are roses cut?")
    before = (folder / "kitchen.txt").stat()
    (folder / "kitchen.txt").write_bytes(b"x" * before.st_size)
    os.utime(folder / "kitchen.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "Bread dough" in run("search", folder, "How long does dough rest?").output


def test_a_change_in_the_same_instant_is_seen(folder: Path) -> None:
    (folder / "kitchen.txt").write_text("Bread dough rests for an hour.", encoding="utf-8")
    run("search", folder, "a")
    (folder / "kitchen.txt").write_text("Bread dough rests for a day!!.", encoding="utf-8")
    assert "for a day!!" in run("search", folder, "How long does dough rest?").output


def test_each_folder_and_model_has_an_index_of_its_own(folder: Path, tmp_path: Path, pair_directory: Path) -> None:
    write(tmp_path / "other" / "sea.txt", "The tide turns twice a day.")
    run("search", folder, "a question")
    run("search", folder, "a question", "--model", pair_directory)
    run("search", tmp_path / "other", "a question")
    assert len(index_files()) == 3
    for options in ([folder], [folder, "--model", pair_directory], [tmp_path / "other"]):
        assert "encoded" not in run("search", options[0], "a question", *options[1:]).output


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000], ids=["cut", "overwritten"])
def test_a_damaged_index_in_the_cache_is_named_and_made_anew(folder: Path, damage: bytes) -> None:
    run("search", folder, "When are roses cut?")
    [file] = index_files()
    content = file.read_bytes()
    file.write_bytes(damage or content[: len(content) // 2])
    result = run("search", folder, "When are roses cut?")
    assert f"The index in the cache is made anew: {file} is no index, or a damaged one" in result.stderr
    assert "2 passages encoded" in result.stdout
    assert "[garden.md:3]" in result.stdout
    assert run("search", folder, "When are roses cut?").stderr == ""


def test_damage_that_shows_in_an_update_only_is_mended_too(folder: Path) -> None:
    run("search", folder, "When are roses cut?")
    [file] = index_files()
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE sources")
    connection.close()
    result = run("search", folder, "When are roses cut?")
    assert "is made anew" in result.stderr
    assert "2 passages encoded" in result.stdout


def test_damage_that_shows_in_an_answer_only_is_mended_too(folder: Path) -> None:
    run("search", folder, "When are roses cut?")
    [file] = index_files()
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM passages WHERE source = 'garden.md'")
    connection.close()
    result = run("search", folder, "When are roses cut?", "How long does dough rest?")
    assert "is made anew" in result.stderr
    assert result.stdout.count("When are roses cut?") == result.stdout.count("How long does dough rest?") == 1


def test_a_damaged_index_that_was_named_is_kept(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "precious.txt"
    file.write_text("no index at all " * 100)
    with pytest.raises(ValueError, match=r"precious\.txt is no index, or a damaged one"):
        run("search", folder, "When are roses cut?", "--index", file)
    assert file.read_text() == "no index at all " * 100


def test_a_retrained_model_of_the_same_name_makes_its_index_anew(folder: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        write_pair(tmp_path / "pair", seed=seed)
        result = run("search", folder, "a question", "--model", tmp_path / "pair")
        assert "2 passages encoded" in result.stdout
    assert "holds vectors of the model" in result.stderr
    assert len(index_files()) == 1


@pytest.mark.posix
def test_a_file_that_cannot_be_read_keeps_no_other_from_being_found(folder: Path) -> None:
    (folder / "latin.txt").write_bytes("caf\xe9 opens at nine".encode("latin-1"))
    os.symlink("nowhere", folder / "link.txt")
    for _ in range(2):
        result = run("search", folder, "When are roses cut?")
        assert result.exit_code == 0
        assert "[garden.md:3]" in result.stdout
        assert "Passed over latin.txt: not UTF-8 (byte 3); convert it" in result.stderr
        assert "Passed over link.txt: No such file or directory" in result.stderr
    for name in ("garden.md", "kitchen.txt"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match="none of these files can be read"):
        run("search", folder, "When are roses cut?")


def test_many_files_that_cannot_be_read_are_counted(folder: Path) -> None:
    for number in range(13):
        (folder / f"{number:02}.txt").write_bytes(b"\xff")
    lines = run("search", folder, "When are roses cut?").stderr.splitlines()
    assert lines[9:] == ["Passed over 09.txt: not UTF-8 (byte 0); convert it", "Passed over 3 more"]


def test_documents_of_other_kinds_are_counted(folder: Path) -> None:
    for name in ("a.pdf", "b.pdf", "c.docx", "d.png"):
        (folder / name).touch()
    assert run("search", folder, "When are roses cut?").stderr == "Left out: 2 .pdf, 1 .docx\n"


def test_without_a_cache_folder_a_run_has_an_index_of_its_own(folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder would be")
    result = run("search", folder, "When are roses cut?")
    assert "The index is not kept" in result.stderr
    assert "--index names a file to keep it in" in result.stderr
    assert "[garden.md:3]" in result.stdout


def test_hidden_and_generated_folders_are_read_on_request_only(folder: Path) -> None:
    write(folder / ".git" / "notes.md", "Roses in a hidden folder.")
    assert "2 passages in" in run("search", folder, "When are roses cut?").output
    assert "3 passages in" in run("search", folder, "When are roses cut?", "--all-folders").output


def test_backend_and_threads_are_passed_on(folder: Path) -> None:
    assert "--backend" in run("search", folder, "a question", "--backend", "quick").stderr
    assert "--threads" in run("search", folder, "a question", "--threads", "0").stderr
    assert "[garden.md:3]" in run("search", folder, "Roses?", "--backend", "numpy", "--threads", "1").stdout


def test_the_demo_answers_from_the_python_reference() -> None:
    first, second = run("demo"), run("demo", "How is a file closed?", "--top-k", "1")
    assert "The \"return\" statement  [help('return'):4]" in first.stdout
    assert "passages encoded" in first.stdout
    assert "encoded" not in second.stdout
    assert second.stdout.count("  1. ") == 1


def test_json_is_one_object_a_question_and_nothing_else(folder: Path) -> None:
    result = run("search", folder, "--json", "--top-k", "1", typed="When are roses cut?\nHow long does dough rest?\n")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["question"] == "When are roses cut?"
    assert (first["mode"], first["near"]) == ("blend", True)
    [passage] = first["passages"]
    assert passage.pop("score") > 0
    assert passage.pop("dense_score") > 0
    assert passage.pop("bm25_score") > 0
    assert passage == {
        "rank": 1,
        "source": "garden.md",
        "line": 3,
        "title": "Roses",
        "text": "Roses are cut in early spring, above an outer bud.",
        "words": ["roses", "cut"],
        "dense_rank": 1,
        "bm25_rank": 1,
    }
    assert second["passages"][0]["source"] == "kitchen.txt"
    assert "2 passages encoded" in result.stderr


def test_where_nothing_is_near_the_nearest_are_shown_after_saying_so(folder: Path) -> None:
    shown = run("search", folder, "Which moons has Neptune?").stdout
    assert shown.index("Nothing near: the best passage is far from the question") < shown.index("  1. ")
    assert "there is no passage" in run("search", folder, "Which moons has Neptune?", "--mode", "bm25").stdout
    assert "Nothing near" not in run("search", folder, "When are roses cut?").stdout
    answers = run("search", folder, "--json", "When are roses cut?", "Which moons has Neptune?").stdout.splitlines()
    assert [json.loads(line)["near"] for line in answers] == [True, False]


#: Its vector is far from what it says in passing.
LONG = (
    "Bread dough rests for an hour before it is baked, in a bowl under a wet towel, far from the window. The oven is "
    "heated to two hundred and thirty degrees with a pan of water on its floor. Salt goes in last. Loaves are turned "
    "once, after twenty minutes, and cool on a rack. The flour comes from the mill by the river, the one with the "
    "green door; ask for the sack marked vx77."
)


def test_a_passage_with_all_words_of_the_question_is_near(folder: Path) -> None:
    write(folder / "log.txt", LONG)
    found = json.loads(run("search", folder, "What is VX77?", "--json").stdout)
    assert found["passages"][0]["dense_score"] < 0.4
    assert found["near"] is True


def test_the_part_of_a_long_passage_is_shown_that_has_the_words_of_the_question(folder: Path) -> None:
    write(folder / "log.txt", LONG)
    assert "     Bread dough rests" in run("search", folder, "How hot is the oven?").stdout
    shown = run("search", folder, "Which sack is from the green door?", "--top-k", "1").stdout
    assert "     ... " in shown
    assert "marked vx77." in shown


def test_a_mode_ranks_by_vectors_or_by_words_alone(folder: Path) -> None:
    dense = json.loads(run("search", folder, "Roses?", "--json", "--mode", "dense").stdout)
    bm25 = json.loads(run("search", folder, "Roses?", "--json", "--mode", "bm25").stdout)
    assert [(one["dense_rank"], one["bm25_rank"]) for one in dense["passages"]] == [(1, None), (2, None)]
    assert [(one["dense_rank"], one["bm25_rank"]) for one in bm25["passages"]] == [(None, 1)]
    assert "'blend', 'dense', 'bm25'" in run("search", folder, "Roses?", "--mode", "fuzzy").stderr


def test_an_explanation_says_where_a_passage_stood_and_which_words_matched(folder: Path) -> None:
    lines = run("search", folder, "When are roses cut?", "--explain", "--mode", "blend").stdout.splitlines()
    reasons = [line.strip() for line in lines if "by vector" in line]
    assert re.fullmatch(r"by vector 1\. \(0\.\d{3}\); by words 1\. \(\d\.\d{3}\); words: roses, cut", reasons[0])
    assert re.fullmatch(r"by vector 2\. \(-?0\.\d{3}\); by words not found; words: none", reasons[1])
