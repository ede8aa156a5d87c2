"""Tasks for the workers of an engine, which import them from here."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

from dpr_tiny_retriever.corpus.batch_encoder import engine_threads
from dpr_tiny_retriever.corpus.manifest import ShardRecord
from dpr_tiny_retriever.corpus.shard_maker import ShardMaker, ShardTask


class Made(NamedTuple):
    task: str
    process: int
    threads: int | None


class Make:
    """Says who did a task; its process dies of the task `die`, once."""

    def __init__(self, died: Path) -> None:
        self.died = died

    def __call__(self, task: str) -> Made:
        if task == "die" and not self.died.exists():
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "full disk":
            raise OSError(28, "No space left on device", "part-00000.parquet")
        return Made(task, os.getpid(), engine_threads())


class DiesOnce:
    """Makes shards; its process dies of the second shard, once."""

    def __init__(self, make: ShardMaker, died: Path) -> None:
        self.make = make
        self.died = died

    def __call__(self, task: ShardTask) -> ShardRecord:
        if task.draft.number == 1 and not self.died.exists():
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.make(task)
