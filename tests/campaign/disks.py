"""Commands that write on a full or read-only disk: one line that names the file, status 1, and nothing is lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from campaign import disturbance
from campaign.kills import choose, undisturbed


def attempt(seed: int, folder: Path, names: list[str] | None = None) -> Counter[str]:
    """One run on a disk that is full from some write on, or that cannot be written to."""
    rng = random.Random(seed)
    command = choose(rng, names)
    events, _, _ = undisturbed(command.name, folder.parent)
    command.prepare(folder)
    how: disturbance.How = rng.choice(["full", "full", "full", "read-only"])
    done = disturbance.run(command.arguments(folder), folder, how, rng.randint(1, events))
    if command.name != "save":  # which is a Python program of its own, not the command line
        assert done.returncode in (0, 1), f"status {done.returncode}: {done.stderr[-500:]}"
        assert "Traceback" not in done.stderr, done.stderr[-800:]
    elif done.returncode:
        assert "OSError" in done.stderr.splitlines()[-1], done.stderr[-800:]
    if done.returncode == 1 and command.name != "save":
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, done.stderr[-800:]
        assert str(folder) in errors[0], f"the file is not named: {errors[0]}"
    is_done = command.check(folder)
    if done.returncode == 0:
        assert is_done or how == "read-only", f"{command.name}: status 0, but the work is undone: {done.stderr[-500:]}"
    afterwards = disturbance.run(command.arguments(folder), folder, "count")
    assert afterwards.returncode == 0, f"with room again: {afterwards.stderr[-500:]}"
    assert command.check(folder), f"{command.name}: with room again, the work is undone"
    return Counter({"runs": 1, f"{how} disk": 1, command.name: 1})
