"""Threads: how many are worth starting, a pool that also works where none can be started, and BLAS's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def usable_processors(root: Path = Path("/")) -> int:
    """How many processors this process may use: those of its affinity, at most its cgroup's CPU quota, rounded up.

    root is where /proc and /sys lie.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in _cpu_quotas(root) if quota > 0]
    return max(1, min(affinity, *(int(-(-quota // 1)) for quota in quotas))) if quotas else affinity


class WorkerPool:
    """A pool of threads. Where no thread can be started, tasks are done by the thread that submits them.

    So it is once the main thread has ended, and where the system has no thread left to give. Leaving the context drops
    the tasks that have not begun, and waits for those that have.
    """

    def __init__(self, threads: int, name: str = "dpr-tiny") -> None:
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def submit(self, task: Callable[[], _Result]) -> Future[_Result]:
        """Start the task in a thread of the pool, or do it now."""
        if self._pool is not None:
            try:
                return self._pool.submit(task)
            except RuntimeError:  # "can't start new thread", "cannot schedule new futures after interpreter shutdown"
                # The pool may have queued the task all the same: let its threads, if any, come to an end first.
                self._pool.shutdown()
                self._pool = None
        return _done(task)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_BLAS_LIMIT = threading.Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy's matrix products run on the calling thread alone.

    Products of a few rows take a fraction of the time so: the threads of OpenBLAS wait for each other. Whoever has many
    of them runs them on threads of a WorkerPool, and enters this once: to change the limit between them costs more than
    they do. The limit is the process's. Of contexts that overlap, the first sets it and lifts it; it does both in one
    thread, since some builds of OpenBLAS ignore a thread that is not the main one.
    """
    if not _BLAS_LIMIT.acquire(blocking=False):
        yield
        return
    try:
        with _blas_libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        _BLAS_LIMIT.release()


@cache
def _blas_libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _done(task: Callable[[], _Result]) -> Future[_Result]:
    future: Future[_Result] = Future()
    try:
        future.set_result(task())
    except Exception as error:  # kept for whoever asks for the result, as a pool does
        future.set_exception(error)
    return future


def _cpu_quotas(root: Path) -> Iterator[float]:
    """The CPU quotas, in processors, of this process's cgroup and of those above it, of version 2 and of version 1."""
    groups = _read(root / "proc/self/cgroup").splitlines()
    mounted = root / "sys/fs/cgroup"
    for group in groups:  # such as 0::/user.slice or 4:cpu,cpuacct:/docker/1234
        _, controllers, path = group.split(":", 2)
        if not controllers:
            for folder in _and_above(mounted, path):
                limit = _read(folder / "cpu.max").split()  # such as "150000 100000" or "max 100000"
                if len(limit) == 2 and limit[0] != "max":
                    yield int(limit[0]) / int(limit[1])
        elif "cpu" in controllers.split(","):
            for folder in _and_above(mounted / "cpu", path):
                quota, period = (_read(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period"))
                if quota and period and int(quota) > 0:  # -1 is no limit
                    yield int(quota) / int(period)


def _and_above(mounted: Path, path: str) -> Iterator[Path]:
    """The folders of a cgroup and of those above it, the mount itself being the last: all that a container may see."""
    inside = PurePosixPath(path.lstrip("/"))
    yield from (mounted / part for part in (inside, *inside.parents))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
