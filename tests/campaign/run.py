"""Tries for some minutes to make the package lose data, crash, hang, run code, or read what was not named.

    python tests/campaign/run.py --minutes 60
    python tests/campaign/run.py --only kills disks --minutes 5 --seed 1000
    python tests/campaign/run.py --only folders --replay 1234     one attempt again, its folder kept

Prints a table of what was tried, survived and failed. The folder and the traceback of each failure are kept in
campaign-results/, and its seed is printed: the same seed makes the same attempt.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from campaign.process_tree import Watch, kill_tree

TESTS = Path(__file__).parents[1]

#: Each part with its share of the time and the idle seconds after which an attempt hangs; see Watch.
PARTS = {
    "kills": (8, 900),
    "load": (1.8, 1800),
    "readers": (5, 180),
    "disks": (3, 900),
    "folders": (2, 180),
    "texts": (2, 300),
    "processes": (2, 300),
    "growth": (1, 600),
    "farm_texts": (1, 300),
}


#: The interpreter for the farm-haystack part, which haystack-ai excludes; None skips the part.
FARM_PYTHON = os.environ.get("CAMPAIGN_FARM_PYTHON")


@dataclass
class Outcome:
    """What came of one part."""

    attempts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0


def run_part(part: str, seconds: float, seed: int, results: Path) -> Outcome:
    """Make attempts for so many seconds in worker processes, a new one after each that dies or hangs."""
    outcome, begin, timeout = Outcome(), time.time(), PARTS[part][1]
    root = Path(tempfile.mkdtemp(prefix=f"dpr-tiny-{part}-"))
    stop = begin + seconds
    try:
        while seed is not None and (time.time() < stop or not outcome.attempts):
            seed = _work(part, root, seed, stop, timeout, outcome, results)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    outcome.seconds = time.time() - begin
    return outcome


def _work(
    part: str, root: Path, first: int, stop: float, timeout: float, outcome: Outcome, results: Path
) -> int | None:
    """Run one worker; returns the seed to go on with where it did not end by itself."""
    python, module = (FARM_PYTHON or sys.executable, "texts") if part == "farm_texts" else (sys.executable, part)
    command = [python, "-m", "campaign.worker", module, str(root), str(first), str(stop)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "CAMPAIGN_STOP": str(stop)}
    with tempfile.TemporaryFile("w+") as errors:
        worker = subprocess.Popen(
            # Not in the checkout: what is installed is tried.
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_forward, args=(worker, lines), daemon=True).start()
        current: int | None = None
        problem = "the process ended"
        watch = Watch(worker.pid, timeout)
        while True:
            try:
                line = lines.get(timeout=10)
            except queue.Empty:
                if watch.hangs():
                    problem = f"hangs for {timeout} s"
                    break
                continue
            watch.restart()
            if not line:
                break
            report = json.loads(line)
            if "begin" in report:
                current = report["begin"]
                continue
            outcome.attempts += 1
            current = None
            if "failed" in report:
                _keep(part, report["seed"], report["failed"], root, outcome, results)
            else:
                outcome.counts.update(report["counts"])
        try:
            status = worker.wait(300 if problem == "the process ended" else 0.1)
        except subprocess.TimeoutExpired:
            kill_tree(worker.pid)
            status = worker.wait()
        if current is None and status == 0:
            return None
        errors.seek(0)
        outcome.attempts += 1
        lost = first if current is None else current
        _keep(part, lost, f"{problem}, status {status}\n{errors.read()[-4000:]}", root, outcome, results)
        return lost + 1


def _forward(worker: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        lines.put(line)
    lines.put("")


def _keep(part: str, seed: int, problem: str, root: Path, outcome: Outcome, results: Path) -> None:
    """Keep what a failed attempt worked on, and say what was wrong."""
    outcome.failures.append((seed, problem))
    kept = results / f"{part}-{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    for worked_on in root.glob(f"*-{seed}"):
        shutil.copytree(worked_on, kept, symlinks=True)
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "problem.txt").write_text(problem)
    print(f"FAILED {part} {seed}: {problem.strip().splitlines()[-1][:300]}", flush=True)


def table(outcomes: dict[str, Outcome]) -> str:
    """What was tried, as Markdown."""
    lines = [
        "| part | minutes | attempts | survived | failed | of these |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for part, one in outcomes.items():
        counts = ", ".join(f"{count:,} {what}" for what, count in one.counts.most_common())
        failed = len(one.failures)
        lines.append(
            f"| {part} | {one.seconds / 60:.1f} | {one.attempts:,} | {one.attempts - failed:,} | {failed:,} "
            f"| {counts} |"
        )
    return "\n".join(lines)


def totals(outcomes: dict[str, Outcome]) -> str:
    """Return the total numbers of kills and inputs."""
    counts: Counter[str] = Counter()
    for one in outcomes.values():
        counts.update(one.counts)
    kills, inside = counts["kills"], counts["inside a write"]
    inputs = sum(counts[what] for what in ("inputs", "folders", "texts"))
    share = f", {inside / kills:.0%} of them inside a write of data" if kills else ""
    return f"{kills:,} kills{share}; {inputs:,} inputs: changed files and folders, and texts"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="of all parts together")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of each part's first attempt")
    parser.add_argument("--jobs", type=int, default=4, help="parts that run at the same time")
    parser.add_argument("--replay", type=int, help="make the attempt of this seed alone")
    parser.add_argument("--results", type=Path, default=Path("campaign-results"))
    options = parser.parse_args()
    seed = options.seed if options.replay is None else options.replay
    print(f"seed {seed}", flush=True)
    parts = [part for part in options.only if part != "farm_texts" or FARM_PYTHON]
    budget = (
        0.0 if options.replay is not None else 60 * options.minutes * options.jobs / sum(PARTS[one][0] for one in parts)
    )

    def run(part: str) -> Outcome:
        outcome = run_part(part, min(60 * options.minutes, budget * PARTS[part][0]), seed, options.results)
        print(table({part: outcome}).splitlines()[-1], flush=True)
        return outcome

    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = dict(zip(parts, pool.map(run, parts), strict=True))
    options.results.mkdir(exist_ok=True)
    (options.results / "table.md").write_text(f"seed {seed}\n\n{table(outcomes)}\n\n{totals(outcomes)}\n")
    print(f"{table(outcomes)}\n\n{totals(outcomes)}")
    sys.exit(any(one.failures for one in outcomes.values()))


if __name__ == "__main__":
    main()
