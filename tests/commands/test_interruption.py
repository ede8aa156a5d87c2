"""Signals end a run in silence, with the code that shells know, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpr_tiny_retriever.commands.interruption import end_at_once_when_interrupted, end_orderly_when_interrupted

#: Begins to replace the folder argv[1] as a command does, says so, and waits.
SAVING = """
import sys, time
from pathlib import Path
from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.commands.interruption import end_orderly_when_interrupted
end_orderly_when_interrupted()
with replaced_folder(Path(sys.argv[1])) as folder:
    (folder / "one").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def restored() -> Iterator[None]:
    """What signals do is put back after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def allow_interruptions() -> None:
    """A shell starts what runs in its background with interruptions ignored, and the tests may be run so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_a_save_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", SAVING, str(tmp_path / "pair")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=allow_interruptions
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate() == ("", "")
    assert process.returncode == 128 + number
    assert os.listdir(tmp_path) == []


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_command_line_is_imported_ends_it_in_silence(number: signal.Signals) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dpr_tiny_retriever", "info"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=allow_interruptions
    )
    assert process.stderr is not None
    lines = []
    while not lines or "dpr_tiny_retriever.commands.interruption" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    while "typer" not in lines[-1]:  # one of the first modules that the commands import
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    process.send_signal(number)
    output, errors = process.communicate()
    assert (process.returncode, output) == (128 + number, "")
    assert [line for line in errors.splitlines() if not line.startswith("import time:")] == []


@pytest.mark.posix
@pytest.mark.usefixtures("restored")
def test_signals_that_a_parent_or_a_program_has_set_stay_as_they_are() -> None:
    def own(number: int, frame: object) -> None:
        """Of a program that runs a command within itself."""

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    signal.signal(signal.SIGTERM, own)
    for prepare in (end_at_once_when_interrupted, end_orderly_when_interrupted):
        prepare()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is own


@pytest.mark.posix
@pytest.mark.usefixtures("restored")
def test_while_a_command_runs_a_signal_unwinds_it() -> None:
    allow_interruptions()
    end_at_once_when_interrupted()
    end_orderly_when_interrupted()
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143


@pytest.mark.posix
@pytest.mark.usefixtures("restored")
def test_a_signal_that_comes_where_python_drops_exceptions_ends_the_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Value:
        """A class whose instances can be weakly referenced."""

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    allow_interruptions()
    end_orderly_when_interrupted()
    value = Value()
    reference = weakref.ref(value, lambda _: signal.raise_signal(signal.SIGTERM))
    del value
    assert reference() is None
    with pytest.raises(SystemExit) as caught:
        time.sleep(30)
    assert caught.value.code == 143
    assert capsys.readouterr().err == ""
