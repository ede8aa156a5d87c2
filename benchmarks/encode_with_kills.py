"""`dpr-tiny encode` killed again and again, and what it costs: `python benchmarks/encode_with_kills.py`.

Encodes the same passages twice: undisturbed, and with SIGKILL at random moments, the same command being started again
after each; then compares both folders byte by byte. The passages are sentences of the Python language reference.
"""

from __future__ import annotations

import argparse
import filecmp
import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics

WORDS = 100
POLL = 0.02  # seconds


@dataclass
class Run:
    """One process: seconds it ran, seconds to its first new shard, its peak memory."""

    seconds: float = 0.0
    first_shard: float | None = None
    cpu_seconds: float = 0.0
    mebibytes: float = 0.0


@dataclass
class Encoding:
    """`dpr-tiny encode` with the arguments of this benchmark."""

    corpus: Path
    output: Path
    options: list[str]
    runs: list[Run] = field(default_factory=list)

    def run(self, kill_after: tuple[int, float] | None = None) -> bool:
        """Start the command, and kill it after so many new shards and, from then on, seconds.

        Returns whether it came to its end before.
        """
        command = [sys.executable, "-m", "dpr_tiny_retriever", "encode", str(self.corpus), "--output", str(self.output)]
        log = self.output.parent / f"{self.output.name}.log"
        run, begin, before, reached = Run(), time.perf_counter(), self.shards(), None
        with log.open("ab") as file:
            process = subprocess.Popen([*command, *self.options], stdout=file, stderr=file)
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                run.seconds = time.perf_counter() - begin
                if pid:
                    break
                new = self.shards() - before
                if run.first_shard is None and new:
                    run.first_shard = run.seconds
                if kill_after is not None and reached is None and new >= kill_after[0]:
                    reached = run.seconds
                if kill_after is not None and reached is not None and run.seconds - reached >= kill_after[1]:
                    process.kill()
                    _, status, usage = os.wait4(process.pid, 0)
                    break
                time.sleep(POLL)
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
        run.cpu_seconds = usage.ru_utime + usage.ru_stime
        run.mebibytes = usage.ru_maxrss / 1024
        self.runs.append(run)
        if process.returncode > 0:
            sys.exit(f"the command failed; its output is in {log}")
        return process.returncode == 0

    def shards(self) -> int:
        """How many shards are finished."""
        return sum(1 for _ in self.output.glob("part-*.json"))

    def bytes(self) -> int:
        """The size of the folder in bytes."""
        return sum(path.stat().st_size for path in self.output.rglob("*") if path.is_file())


def main() -> None:
    """Run it, and print what it has shown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder if none is given")
    parser.add_argument("--rows-per-shard", type=int, help="a hundredth of the passages, if none is given")
    arguments, options = parser.parse_known_args()
    options += ["--rows-per-shard", str(arguments.rows_per_shard or max(1, arguments.passages // 100))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        corpus = folder / f"passages-{arguments.passages}.jsonl.gz"
        if not corpus.exists():
            write_passages(corpus, arguments.passages)
        undisturbed = Encoding(corpus, folder / "undisturbed", options)
        undisturbed.run()
        [alone] = undisturbed.runs
        rate = arguments.passages / alone.seconds
        print(f"undisturbed: {arguments.passages:,} passages in {alone.seconds:.1f} s, {rate:,.0f} a second, ", end="")
        print(f"{alone.cpu_seconds:.1f} s of CPU, {alone.mebibytes:.0f} MiB, {undisturbed.bytes():,} bytes", flush=True)
        killed = Encoding(corpus, folder / "killed", options)
        kills = run_with_kills(killed, arguments.kills, undisturbed, random.Random(arguments.seed))
        report(killed, kills, undisturbed)


def run_with_kills(killed: Encoding, kills: int, undisturbed: Encoding, random_moment: random.Random) -> int:
    """Run the command until it comes to its end, killed so often on the way; returns how often it was."""
    [alone] = undisturbed.runs
    start = alone.first_shard or 0.0
    a_shard = (alone.seconds - start) / max(1, undisturbed.shards() - 1)
    for kill in range(kills):
        left = undisturbed.shards() - killed.shards()
        new = random_moment.randint(0, max(0, min(left - 1, 2 * left // (kills - kill + 1))))
        if killed.run((new, random_moment.uniform(0, a_shard if new else start))):
            return kill
        print(f"kill {kill + 1}: {killed.shards()} shards of {undisturbed.shards()}", file=sys.stderr, flush=True)
    killed.run()
    return kills


def report(killed: Encoding, kills: int, undisturbed: Encoding) -> None:
    """Print what the kills cost; exits with an error where the folders differ."""
    seconds = sum(run.seconds for run in killed.runs)
    memory = max(run.mebibytes for run in killed.runs)
    [alone] = undisturbed.runs
    more = (seconds - alone.seconds) / max(1, kills)
    first = [run.first_shard for run in killed.runs[1:] if run.first_shard is not None]
    print(f"{kills} kills: {seconds:.1f} s in all, {more:.1f} s more for each kill, {memory:.0f} MiB")
    if first and alone.first_shard is not None:
        print(f"from a start to the first new shard: {statistics.median(first):.1f} s in the median, ", end="")
        print(f"{max(first):.1f} s at most; undisturbed {alone.first_shard:.1f} s")
    folders = [undisturbed.output, killed.output]
    names = [sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) for folder in folders]
    if names[0] != names[1]:
        sys.exit(f"different files: {sorted(set(names[0]) ^ set(names[1]))}")
    different = [name for name in names[0] if not filecmp.cmp(*(folder / name for folder in folders), shallow=False)]
    if different:
        sys.exit(f"different bytes: {different}")
    print(f"{len(names[0])} files, {killed.bytes():,} bytes: equal byte by byte")


def write_passages(path: Path, count: int) -> None:
    """Write so many passages of some hundred words as gzip'd JSON lines, always the same."""
    chosen = random.Random(7)
    text = " ".join(" ".join(topic.split()) for _, topic in sorted(topics.items()))
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", text) if 4 < len(sentence.split()) < 40]
    with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as file:
        for number in range(count):
            words: list[str] = []
            while len(words) < WORDS:
                words += chosen.choice(sentences).split()
            record = {"_id": f"doc-{number}", "title": " ".join(words[3:6]), "text": " ".join(words[: WORDS + 5])}
            file.write(json.dumps(record).encode() + b"\n")


if __name__ == "__main__":
    main()
