"""What dead processes left is removed by the next that writes into the same folder; what living ones hold is not."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpr_tiny_retriever import temporary_names
from dpr_tiny_retriever.atomic_files import replaced_file, replaced_folder

#: Begins to replace the file argv[1] and the folder argv[2], says so, and waits.
WAITING = """
import sys
from pathlib import Path
from dpr_tiny_retriever import temporary_names
from dpr_tiny_retriever.atomic_files import replaced_file, replaced_folder
if sys.argv[3:]:
    temporary_names.fcntl = None
with replaced_file(Path(sys.argv[1])) as part, replaced_folder(Path(sys.argv[2])) as folder:
    part.write_text("half")
    (folder / "one").write_text("half")
    print("ready", flush=True)
    sys.stdin.readline()
"""


def begin(folder: Path, name: str = "a", *how: str) -> subprocess.Popen[str]:
    """Start a process that holds temporary names for a file and a folder; another argument simulates Windows."""
    command = [sys.executable, "-c", WAITING, str(folder / f"{name}.txt"), str(folder / name), *how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


@pytest.mark.posix
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead, living = begin(tmp_path), begin(tmp_path, "b")
    kill(dead)
    assert len(os.listdir(tmp_path)) == 4
    with replaced_file(tmp_path / "c.txt") as part:
        part.write_text("whole")
    assert sorted(name.rpartition(".")[0][:3] for name in os.listdir(tmp_path)) == [".b.", ".b.", "c"]
    living.communicate("\n")
    assert living.returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["b", "b.txt", "c.txt"]
    assert (tmp_path / "b.txt").read_text() == "half"


@pytest.mark.posix
def test_so_it_is_where_folders_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_names, "fcntl", None)  # as on Windows, where lock files are used
    dead, living = begin(tmp_path, "a", "beside"), begin(tmp_path, "b", "beside")
    kill(dead)
    assert len(os.listdir(tmp_path)) == 8
    [scratch] = [path for path in tmp_path.glob(".a.*.part") if path.is_dir()]
    (scratch / "former").mkdir()
    with replaced_file(tmp_path / "c.txt") as part:
        part.write_text("whole")
    assert sorted(name.rpartition(".")[0][:3] for name in os.listdir(tmp_path)) == ["", ".b.", ".b.", ".b.", ".b.", "c"]
    assert (tmp_path / "a").is_dir()  # a process was killed between the two renames
    living.communicate("\n")
    assert living.returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "b.txt", "c.txt"]


@pytest.mark.posix
def test_a_lock_without_what_it_was_for_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(begin(tmp_path, "a", "beside"))
    for path in tmp_path.glob("*.part"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.setattr(temporary_names, "fcntl", None)
    temporary_names.remove_abandoned(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.posix
def test_a_folder_that_was_moved_aside_takes_its_place_again(tmp_path: Path) -> None:
    process = begin(tmp_path)
    kill(process)
    [scratch] = [path for path in tmp_path.iterdir() if path.is_dir()]
    (scratch / "former").mkdir()
    (scratch / "former" / "kept").write_text("rows")
    with replaced_folder(tmp_path / "a") as folder:
        (folder / "one").write_text("new")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["kept", "one"]
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.posix
def test_what_another_machine_began_is_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(begin(tmp_path))
    monkeypatch.setattr(platform, "node", lambda: "another machine")
    begun = sorted(path for path in tmp_path.iterdir())
    with replaced_folder(tmp_path / "c"):
        pass
    assert sorted(tmp_path.iterdir()) == [*begun, tmp_path / "c"]
    for path in begun:
        os.utime(path, (0, 0))
    with replaced_folder(tmp_path / "c"):
        pass
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.parametrize("name", [".notes.part", "a.0123456789abcd.part", ".a.0123456789abcx.part", ".a.txt"])
def test_files_of_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a user's own")
    os.utime(tmp_path / name, (0, 0))
    with replaced_file(tmp_path / "c.txt") as part:
        part.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == sorted([name, "c.txt"])


@pytest.mark.posix
def test_what_a_link_of_such_a_name_leads_to_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "mine").write_text("a user's own")
    link = tmp_path / ".a.0123456789abcd.part"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    with replaced_file(tmp_path / "c.txt") as part:
        part.write_text("whole")
    assert (target / "mine").read_text() == "a user's own"


@pytest.mark.linux
def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    def fill() -> None:
        with replaced_file(tmp_path / "results.json"), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/results.json'"):
        fill()
    assert os.listdir(tmp_path) == []


@pytest.mark.linux
def test_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    def fill() -> None:
        with replaced_folder(tmp_path / "pair"), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/pair'"):
        fill()
    assert os.listdir(tmp_path) == []
