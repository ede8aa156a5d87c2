"""CPU time of a process tree, to tell a hang from a wait for a busy machine; Linux only."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """Detects hangs: almost no CPU time for a number of seconds, or far too much in total."""

    def __init__(self, process: int, seconds: float) -> None:
        self._process = process
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Restart the count, for the next attempt."""
        self._begun = self._marked = processor_seconds(self._process)
        self._marked_at = time.monotonic()

    def hangs(self) -> bool:
        """Return whether the process hangs; call this every few seconds."""
        used, now = processor_seconds(self._process), time.monotonic()
        if used - self._begun > self._seconds * (os.cpu_count() or 1):
            return True
        if now - self._marked_at < self._seconds:
            return False
        is_idle = used - self._marked < self._seconds / 100
        self._marked, self._marked_at = used, now
        return is_idle


def processor_seconds(process: int) -> float:
    """Return the CPU seconds of a process, its living descendants and the children they have waited for."""
    return sum(sum(_fields(one)[11:15]) for one in _tree(process)) / _TICKS


def kill_tree(process: int) -> None:
    """End a process and its living descendants."""
    for one in _tree(process):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _tree(process: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            children.setdefault(_fields(int(path.name))[1], []).append(int(path.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found


def _fields(process: int) -> list[int]:
    """The fields of /proc/PID/stat after the name: the second is the parent, the twelfth and later are times."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return [0] * 20
    return [0, *map(int, fields[1:20])]
