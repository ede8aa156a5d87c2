"""How many threads are worth starting, what becomes of work where none can be started, and BLAS on one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from threadpoolctl import ThreadpoolController

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.threads import WorkerPool, one_blas_thread, usable_processors

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def system(root: Path, files: dict[str, str]) -> Path:
    """A file system with these files in it."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_without_a_cgroup_the_processors_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert usable_processors(tmp_path) == HERE


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 8),
        # Of a group and those above it, the smallest quota holds.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2,
        ),
        # Version 1, seen from within a container: the path is the host's, the files are at the mount.
        (
            {
                "proc/self/cgroup": "7:memory:/x\n4:cpu,cpuacct:/docker/1234\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "350000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_a_cpu_quota_limits_the_processors_rounded_up(tmp_path: Path, files: dict[str, str], processors: int) -> None:
    assert usable_processors(system(tmp_path, files)) == processors


def test_tasks_run_in_threads_of_the_pool() -> None:
    with WorkerPool(2) as pool:
        names = {pool.submit(lambda: threading.current_thread().name).result() for _ in range(4)}
    assert all(name.startswith("dpr-tiny") for name in names)


def test_where_no_thread_can_be_started_the_submitting_one_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done: list[int] = []
    with WorkerPool(2) as pool:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        futures = [pool.submit(lambda number=number: done.append(number)) for number in range(3)]
        assert done == [0, 1, 2]
        failed = pool.submit(lambda: 1 // 0)
    assert [future.result() for future in futures] == [None] * 3
    with pytest.raises(ZeroDivisionError):
        failed.result()


def test_many_texts_are_encoded_where_no_thread_can_be_started(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [("the tower", "the city of the river " * 20)] * 300
    expected = encoder.encode(texts)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert (encoder.encode(texts) == expected).all()


def test_a_thread_that_outlives_main_still_encodes_many_texts() -> None:
    script = """
import threading
from dpr_tiny_retriever import Encoder
encoder = Encoder.from_pretrained(side="passage")

def index():
    threading.main_thread().join()
    print(encoder.encode(["the city of the river " * 20] * 3000, show_progress=False).shape)

threading.Thread(target=index).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(3000, 128)\n", "")


def blas_threads() -> list[int]:
    """How many threads numpy's BLAS library uses now; other packages may have brought others."""
    libraries = ThreadpoolController().select(user_api="blas").info()
    return [library["num_threads"] for library in libraries if "numpy" in library["filepath"]]


def test_blas_has_its_own_number_of_threads_again_when_the_first_of_two_contexts_ends() -> None:
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        inside.wait()
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_numpy_encodes_with_blas_on_one_thread(pair_directory: Path) -> None:
    encoder = Encoder.from_pretrained(pair_directory, side="passage", backend="numpy", threads=2)
    stream = encoder.stream(f"the text of number {n} " * 30 for n in range(9000))
    before = blas_threads()
    next(stream)
    assert set(blas_threads()) == {1}
    stream.close()
    assert blas_threads() == before
