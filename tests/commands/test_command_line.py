"""The command line as a process: its streams, signals, errors and exit codes."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dpr_tiny_retriever import __version__

pytestmark = pytest.mark.posix  # it opens terminals

COMMAND = [sys.executable, "-m", "dpr_tiny_retriever"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Notes with an emoji in their title, and an escape sequence that would clear the screen."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Roses \U0001f339\n\nRoses \x1b[2J\x1b]0;owned\x07 are cut in spring.", "utf-8")
    return folder


def run(*arguments: str | Path, environment: Mapping[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run([*COMMAND, *map(str, arguments)], env=environment, text=True, check=False, **options)


def on_a_terminal(*arguments: str | Path, environment: Mapping[str, str]) -> str:
    """What a terminal is sent when it is the process's standard input, output and error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))  # lines and columns
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the process has ended
            break
        if not part:
            break
        received += part
    process.wait()
    os.close(ours)
    return received.decode()


def test_what_a_user_can_mend_is_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    done = run("search", tmp_path / "missing", "a question", environment=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: there is no folder")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_traceback_is_shown_on_request(tmp_path: Path, environment: dict[str, str], by: str) -> None:
    option = ["--traceback"] if by == "option" else []
    environment = environment | ({} if option else {"DPR_TINY_TRACEBACK": "1"})
    done = run(*option, "search", tmp_path / "missing", "a question", environment=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert "FileNotFoundError: there is no folder" in done.stderr


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("raise KeyError('x')", "KeyError: 'x' (dpr-tiny --traceback shows where)"),
        ("raise TypeError('y')", "TypeError: y (dpr-tiny --traceback shows where)"),
        (
            "sys.modules['ir_measures'] = None; import ir_measures",
            'this command needs ir_measures, which is not installed; run: pip install "dpr-tiny-retriever[eval]"',
        ),
    ],
)
def test_other_faults_say_where_to_look(statement: str, message: str) -> None:
    program = (
        "import sys\n"
        "from dpr_tiny_retriever.commands import cli\n"
        f"def broken(): {statement}\n"
        "cli.commands.command()(broken)\n"
        "cli.app()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, "broken"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"Error: {message}\n"


def test_the_version_is_stated(environment: dict[str, str]) -> None:
    done = run("--version", environment=environment)
    assert done.returncode == 0
    assert done.stdout.startswith(f"dpr-tiny-retriever {__version__} (Python 3.")


def test_no_bar_is_drawn_without_a_terminal(folder: Path, environment: dict[str, str]) -> None:
    done = run("search", folder, "When are roses cut?", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bar_is_drawn_on_a_terminal_unless_turned_off(folder: Path, environment: dict[str, str]) -> None:
    assert "1/1" in on_a_terminal("search", folder, "a", environment=environment)
    environment["XDG_CACHE_HOME"] += "2"
    assert "1/1" not in on_a_terminal("search", folder, "a", environment=environment | {"TQDM_DISABLE": "1"})


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_characters_that_the_output_lacks_are_replaced(
    folder: Path, environment: dict[str, str], encoding: str
) -> None:
    environment |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    done = run("search", folder, "When are roses cut?", environment=environment)
    assert done.returncode == 0
    assert "Roses ?  [a.md:3]" in done.stdout


def test_control_characters_of_files_reach_no_terminal(folder: Path, environment: dict[str, str]) -> None:
    shown = on_a_terminal("search", folder, "When is it?", environment=environment)
    assert r"Roses \x1b[2J\x1b]0;owned\x07 are cut in spring." in shown
    assert "\x1b[2J" not in shown


def test_colours_are_left_out_on_request(tmp_path: Path, environment: dict[str, str]) -> None:
    assert "\x1b[31mError" in on_a_terminal("search", tmp_path / "missing", "q", environment=environment)
    assert "\x1b[" not in on_a_terminal(
        "search", tmp_path / "missing", "q", environment=environment | {"NO_COLOR": "1"}
    )


def test_words_of_the_question_are_bold_on_a_terminal_only(folder: Path, environment: dict[str, str]) -> None:
    arguments = ("search", folder, "When are roses cut?")
    assert "\x1b[1mcut\x1b[0m in spring" in on_a_terminal(*arguments, environment=environment)
    assert "are cut in spring" in on_a_terminal(*arguments, environment=environment | {"NO_COLOR": "1"})
    assert "are cut in spring" in run(*arguments, environment=environment).stdout


def test_names_that_are_not_utf_8_are_shown_as_escapes(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / os.fsdecode(b"dir\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("Opens at nine.", encoding="utf-8")
    done = run("search", folder, "When does it open?", environment=environment)
    assert done.returncode == 0, done.stderr
    assert r"caf\xe9  [caf\xe9.txt:1]" in done.stdout
    (folder / os.fsdecode(b"caf\xe9.txt")).unlink()
    done = run("search", folder, "When does it open?", environment=environment)
    assert (done.returncode, done.stderr[:6]) == (1, "Error:")
    assert r"dir\xe9 holds no .txt, .md, .rst or .html file" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_survived(folder: Path, environment: dict[str, str], closed: str) -> None:
    command = f'"$@" {closed}'
    arguments = [*COMMAND, "search", str(folder), "When are roses cut?"]
    for _ in range(2):  # making the index, and reading it
        done = subprocess.run(["sh", "-c", command, "sh", *arguments], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("Roses" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))
    assert run("search", folder, "When are roses cut?", environment=environment).returncode == 0


def test_without_a_question_and_an_input_nothing_is_answered(folder: Path, environment: dict[str, str]) -> None:
    arguments = [*COMMAND, "search", str(folder)]
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *arguments], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_without_streams_runs_a_command(folder: Path, environment: dict[str, str]) -> None:
    program = (
        "import sys; sys.stdin = sys.stdout = sys.stderr = None\n"
        "from dpr_tiny_retriever.commands.cli import app; app()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "search", str(folder), "a"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_reader_that_goes_away_is_no_error(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "demo", *["How is a file closed?"] * 500],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() != 0


@pytest.mark.linux
def test_a_full_disk_is_one_line(folder: Path, environment: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        done = run("search", folder, "a", environment=environment, stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: [Errno 28] No space left on device"]


def test_an_interruption_ends_a_run_in_silence(folder: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "search", str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with interruptions ignored, and the tests may be run so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("When are roses cut?\n")
    process.stdin.flush()
    while "are cut in spring" not in process.stdout.readline():
        pass
    time.sleep(1)  # until it waits for the next question
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)  # with its input open: an end of input would end it too
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (130, "", "")


def test_search_and_demo_import_no_framework(folder: Path, environment: dict[str, str]) -> None:
    for arguments in (["demo", "How is a file closed?"], ["search", str(folder), "When are roses cut?"]):
        program = (
            f"import sys; sys.argv = ['dpr-tiny', *{arguments!r}]\n"
            "from dpr_tiny_retriever.__main__ import main\n"
            "try: main()\n"
            "except SystemExit as end: print(end.code, sorted(sys.modules), file=sys.stderr)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.stderr.startswith("0 ")
        modules = set(done.stderr.replace("'", " ").replace(",", " ").split())
        assert "dpr_tiny_retriever.retrieval.passage_index" in modules
        assert modules.isdisjoint(
            {"tensorflow", "transformers", "torch", "keras", "haystack", "h5py", "huggingface_hub"}
        )
        assert not any(name.startswith("dpr_tiny_retriever.training") for name in modules)
