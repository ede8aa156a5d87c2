"""Runs commands whose writes are counted, cut short, or fail: by a library that is put before the system's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from campaign import warm_python

How = Literal["kill", "torn write", "full", "read-only", "count"]


@cache
def library() -> Path:
    """disturbed_writes.c, compiled."""
    target = Path(tempfile.mkdtemp(prefix="dpr-tiny-campaign-")) / "disturbed_writes.so"
    source = Path(__file__).with_name("disturbed_writes.c")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(source), "-ldl"], check=True)
    return target


def environment(folder: Path, how: How, at: int = 0, count: Path | None = None) -> dict[str, str]:
    """The variables of a process whose writes below the folder are disturbed."""
    wanted = {"LD_PRELOAD": str(library()), "DISTURB_FOLDER": str(folder), "DISTURB_HOW": how, "DISTURB_AT": str(at)}
    wanted |= {"XDG_CACHE_HOME": str(folder / "cache"), "DISTURB_COUNT": str(count or os.devnull)}
    return {**os.environ, **wanted, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", "DPR_TINY_TRACEBACK": ""}


def run(
    arguments: list[str], folder: Path, how: How, at: int = 0, *, is_warm: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments to its end, in a new process or in a fork of the warm one."""
    if is_warm:
        return warm_python.run(arguments, folder, environment(folder, how, at))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder, how, at),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def count_events(arguments: list[str], folder: Path) -> tuple[int, int]:
    """Count the changes of a successful run below the folder, and how many of them are writes of data."""
    with tempfile.NamedTemporaryFile("r") as file:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(folder, "count", count=Path(file.name)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        events, writes = map(int, file.read().split())
        return events, writes
