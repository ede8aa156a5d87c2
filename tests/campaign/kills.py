"""Commands that write are killed at any moment: nothing that was there is lost, and the next run completes the work."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

from campaign import disturbance
from campaign.writing_commands import COMMANDS, WritingCommand


@cache
def undisturbed(name: str, root: Path) -> tuple[int, int, float]:
    """An undisturbed run: its number of changes, how many of them are writes of data, and its seconds."""
    command, folder = COMMANDS[name], root / f"undisturbed-{name}"
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that died in it
    folder.mkdir()
    command.prepare(folder)
    begin = time.perf_counter()
    events, writes = disturbance.count_events(command.arguments(folder), folder)
    assert command.check(folder), f"{name}: a run that nothing disturbed leaves its work undone"
    return events, writes, time.perf_counter() - begin


def choose(rng: random.Random, names: list[str] | None = None) -> WritingCommand:
    """One of the commands that can run here; the costly ones are rarer."""
    available = [one for one in COMMANDS.values() if one.is_available and (names is None or one.name in names)]
    return rng.choices(available, [1 / one.cost for one in available])[0]


def attempt(seed: int, folder: Path, names: list[str] | None = None) -> Counter[str]:
    """Kill a command up to four times, restarting it after each kill, and check the result of a final run.

    Three of five kills come in the middle of a write, with half of the data written; one at any change of the folder,
    such as before a rename; one at any moment, by SIGKILL, SIGTERM or Ctrl-C. Work reported as done before a kill must
    survive it, and the final, undisturbed run must complete the rest.
    """
    rng = random.Random(seed)
    command = choose(rng, names)
    events, writes, seconds = undisturbed(command.name, folder.parent)
    command.prepare(folder)
    counts: Counter[str] = Counter()
    for _ in range(4):
        where = rng.choice(["inside a write", "inside a write", "inside a write", "at a change", "at a moment"])
        if where == "at a moment":
            number = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            was_killed = _signal_after(rng.uniform(0, seconds), number, command, folder)
        else:
            how: disturbance.How = "torn write" if where == "inside a write" else "kill"
            at = rng.randint(1, writes if where == "inside a write" else events)
            done = disturbance.run(command.arguments(folder), folder, how, at, is_warm=command.is_forkable)
            assert done.returncode in (-signal.SIGKILL, 0), done.stderr
            was_killed = done.returncode != 0
        command.check(folder)
        if not was_killed:  # a restarted run has fewer writes left
            break
        counts.update(["kills", where, command.name])
    afterwards = disturbance.run(command.arguments(folder), folder, "count", is_warm=command.is_forkable)
    assert afterwards.returncode == 0, f"after a kill: {afterwards.stderr}"
    assert command.check(folder), f"{command.name}: the run after a kill leaves its work undone"
    left = [path for path in folder.rglob(".*.part") if path.parent.name != "cache"]
    assert not left, f"{command.name}: left behind {left}"
    return counts


def _signal_after(seconds: float, number: signal.Signals, command: WritingCommand, work: Path) -> bool:
    """Start the command and send the signal after a delay; returns whether it ended the command."""
    process = subprocess.Popen(
        [sys.executable, *command.arguments(work)],
        cwd=work,
        env=disturbance.environment(work, "count"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    expected = {0, -number, 128 + number}
    if command.name != "save" and not _is_startup(errors):
        assert process.returncode in expected, f"{number.name}: status {process.returncode}: {errors[-500:]}"
        assert "Traceback" not in errors, f"{number.name}: {errors[-500:]}"
    return process.returncode != 0


def _is_startup(errors: str) -> bool:
    """Whether Ctrl-C came while Python itself was starting, before any line of the package."""
    return "KeyboardInterrupt" in errors and os.path.join("dpr_tiny_retriever", "commands", "") not in errors
