"""A folder is replaced whole or not at all, whenever the process may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_folders import write_pair

from dpr_tiny_retriever import DualEncoder, atomic_files
from dpr_tiny_retriever.atomic_files import link_or_copy, replaced_folder

#: Replaces the folder argv[1] by one of three files that all say argv[2], and is killed at the event number argv[3] of
#: those that change the names of files.
KILLED = """
import os, signal, sys
from pathlib import Path
from dpr_tiny_retriever.atomic_files import replaced_folder

events_left = int(sys.argv[3])

def count(event, arguments):
    global events_left
    if event in ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "open", "ctypes.dlsym"):
        events_left -= 1
        if events_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
with replaced_folder(Path(sys.argv[1])) as folder:
    (folder / "side").mkdir()
    for name in ("one", "two", "side/three"):
        (folder / name).write_text(sys.argv[2])
"""


def write(folder: Path, content: str) -> None:
    (folder / "side").mkdir(parents=True)
    for name in ("one", "two", "side/three"):
        (folder / name).write_text(content)


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def whole(word: str) -> dict[str, str]:
    return {"one": word, "two": word, "side/three": word}


def kill_at(folder: Path, event: int) -> bool:
    """Whether the process was killed before it was done."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), "new", str(event)], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.posix
def test_killed_at_any_moment_it_leaves_the_former_folder_or_the_new_one(tmp_path: Path) -> None:
    kept = {"mine": "mine", "runs/log": "mine"}
    found = []
    for event in range(200):
        folder = tmp_path / str(event) / "pair"
        write(folder, "former")
        (folder / "runs").mkdir()
        for name in kept:
            (folder / name).write_text("mine")
        killed = kill_at(folder, event)
        assert content(folder) in (whole("former") | kept, whole("new") | kept)
        found.append(content(folder)["one"])
        if not killed:
            break
    assert found[0] == "former"
    assert found[-1] == "new"
    assert sorted(found) == found  # "former" < "new": once it is new, it stays so
    assert 10 < len(found) < 200


@pytest.mark.posix
def test_killed_at_any_moment_it_leaves_nothing_or_the_new_folder(tmp_path: Path) -> None:
    found = []
    for event in range(200):
        folder = tmp_path / str(event) / "pair"
        killed = kill_at(folder, event)
        found.append(folder.exists())
        assert content(folder) == (whole("new") if folder.exists() else {})
        if not killed:
            break
    assert sorted(found) == found
    assert {*found} == {False, True}


def test_an_error_leaves_the_former_folder_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "pair", "former")

    def fail() -> None:
        with replaced_folder(tmp_path / "pair") as folder:
            (folder / "one").write_text("new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert content(tmp_path / "pair") == whole("former")
    assert os.listdir(tmp_path) == ["pair"]


def test_a_file_that_only_the_former_folder_holds_stays_the_same_file(tmp_path: Path) -> None:
    """Not as a copy: a store that another object has open there must stay the one that it writes to."""
    write(tmp_path / "pair", "former")
    database = tmp_path / "pair" / "store.db"
    database.write_text("rows")
    with database.open("a") as opened:
        with replaced_folder(tmp_path / "pair") as folder:
            (folder / "one").write_text("new")
        opened.write(" and more")
    assert content(tmp_path / "pair") == {
        "one": "new",
        "two": "former",
        "side/three": "former",
        "store.db": "rows and more",
    }


def test_where_folders_cannot_be_exchanged_at_once_it_is_done_in_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic_files, "exchange", lambda one, other: False)
    write(tmp_path / "pair", "former")
    with replaced_folder(tmp_path / "pair") as folder:
        (folder / "one").write_text("new")
    assert content(tmp_path / "pair") == whole("former") | {"one": "new"}
    assert os.listdir(tmp_path) == ["pair"]


@pytest.mark.linux
def test_a_file_of_another_file_system_is_copied(tmp_path: Path) -> None:
    link_or_copy("/proc/version", tmp_path / "version")  # of another file system
    assert (tmp_path / "version").read_text() == Path("/proc/version").read_text()


def test_a_folder_is_replaced_although_the_working_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "pair", "former")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with replaced_folder(tmp_path / "pair") as folder:
        write(folder / "new", "new")
    assert content(tmp_path / "pair" / "new") == whole("new")


def test_a_home_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"~nosuchuser/pair: .*; expected a path without ~"),
        replaced_folder(Path("~nosuchuser/pair")),
    ):
        pass


SAVING = """
import itertools, sys
from dpr_tiny_retriever import DualEncoder

pairs = [DualEncoder.from_pretrained(folder) for folder in sys.argv[1:3]]
for pair in itertools.cycle(pairs):
    pair.save_pretrained(sys.argv[3])
    print("saved", flush=True)
"""


def test_a_pair_that_is_being_saved_over_and_over_survives_kill_9(tmp_path: Path) -> None:
    sources = [write_pair(tmp_path / name, width=32, seed=seed) for seed, name in enumerate(("first", "second"))]
    expected = [DualEncoder.from_pretrained(source).encode_passages(["the city"]) for source in sources]
    target = tmp_path / "target" / "pair"
    saver = subprocess.Popen(
        [sys.executable, "-c", SAVING, *map(str, sources), str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with saver:
        assert saver.stdout is not None
        for _ in range(25):
            assert saver.stdout.readline() == b"saved\n"
        saver.kill()
    found = DualEncoder.from_pretrained(target).encode_passages(["the city"])
    assert any(np.array_equal(found, vectors) for vectors in expected)
