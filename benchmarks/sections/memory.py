"""Peak memory and time of streams of up to a million passages, each in a fresh process."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from context import Context
from models import REPOSITORY
from peers import HERE, KINDS, OURS, PeerError, environment_of
from rows import Row
from tqdm import tqdm

SECTION = "memory"


def measure(context: Context) -> dict[str, Any]:
    """Passages, tokens, seconds and peak memory in bytes of streams of 100, 1,000, ... passages."""
    model = context.model("L-2")
    sizes = [10**power for power in range(2, 10) if 10**power < context.largest] + [context.largest]
    runs = []
    for size in tqdm(sizes, desc="streams", unit=" streams"):
        with (context.work / "stream.log").open("w") as log:
            done = subprocess.run(
                [context.peers.python(OURS), HERE / "stream.py", model.source, context.short_texts_file, str(size)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment_of(KINDS[OURS]),
                cwd=REPOSITORY,
            )
        if done.returncode:
            raise PeerError(f"a stream of {size} passages failed (see {log.name})")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {model.name: runs}


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, runs in measured.items():
        for run in runs:
            passages, seconds = run["passages"], run["seconds"]
            note = f"{passages / seconds:,.0f} passages/s, {run['tokens']:,} tokens, {run['tokens'] / seconds:,.0f}/s"
            found.append(Row(SECTION, model, f"{passages:,} passages: time", seconds, "s", note=note))
        for run in runs:
            before = f"{run['bytes before'] / 2**20:,.0f} MiB before the stream"
            what = f"{run['passages']:,} passages: peak memory"
            found.append(Row(SECTION, model, what, run["peak bytes"] / 2**20, "MiB", note=before))
    return found
