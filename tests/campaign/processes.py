"""Threads, forks, pools and prefork servers give the vectors and the answers of one thread."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from campaign.texts import encoder, pair_folder, random_text

from dpr_tiny_retriever import DualEncoder, IndexedPassage, PassageIndex


def attempt(seed: int, folder: Path) -> Counter[str]:
    """One way of running at the same time."""
    rng = random.Random(seed)
    texts = [random_text(rng, surrogates=False) for _ in range(64)]
    way = rng.choice([_threads, _forks, _prefork, _pool, _killed_child, _index])
    return Counter({"runs": 1, way.__name__.strip("_").replace("_", " "): 1, "calls": way(rng, texts, folder)})


def _threads(rng: random.Random, texts: list[str], folder: Path) -> int:
    """Eight threads on one encoder, each with its own texts; among them one that streams."""
    core = encoder(folder.parent)
    expected = core.encode_passages(texts)

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(30):
            chosen = chance.sample(range(len(texts)), chance.choice([1, 2, 30]))
            found = core.encode_passages([texts[one] for one in chosen])
            np.testing.assert_array_equal(found, expected[chosen])
        np.testing.assert_array_equal(np.concatenate(list(core.stream_passages(texts))), expected)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    return 8 * 31


def _forks(rng: random.Random, texts: list[str], folder: Path) -> int:
    """A process that has encoded in threads forks while a thread encodes; its children encode."""
    core = encoder(folder.parent)
    expected = core.encode_passages(texts)
    ended = threading.Event()

    def keep_encoding() -> None:
        while not ended.is_set():
            core.encode_passages(texts)

    thread = threading.Thread(target=keep_encoding)
    thread.start()
    try:
        children = [
            fork(lambda: np.testing.assert_array_equal(core.encode_passages(texts), expected)) for _ in range(4)
        ]
        join(children)
    finally:
        ended.set()
        thread.join()
    return 4


def _prefork(rng: random.Random, texts: list[str], folder: Path) -> int:
    """A server that loads, warms up and forks its workers, which each answer in threads."""
    core = DualEncoder.from_pretrained(pair_folder(folder.parent))
    core.warm_up()
    expected = encoder(folder.parent).encode_queries(texts)

    def serve() -> None:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: core.encode_queries([text])[0], texts))
        np.testing.assert_array_equal(np.array(found), expected)

    join([fork(serve) for _ in range(4)])
    return 4 * len(texts)


def _encode(core: DualEncoder, text: str) -> np.ndarray:
    return core.encode_passages([text])[0]


def _pool(rng: random.Random, texts: list[str], folder: Path) -> int:
    """A pool of processes that are sent the encoder."""
    core = encoder(folder.parent)
    method = rng.choice(["fork", "spawn", "forkserver"])
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(_encode, [(core, text) for text in texts[:4]])
    np.testing.assert_array_equal(np.array(found), core.encode_passages(texts[:4]))
    return 4


def _killed_child(rng: random.Random, texts: list[str], folder: Path) -> int:
    """A child that is killed while it encodes and adds to an index costs its parent and its siblings nothing."""
    core = encoder(folder.parent)
    path = folder / "index.sqlite"
    with PassageIndex(path, core) as index:
        index.add([IndexedPassage("first", "", "the river of the city")])

    def fill() -> None:
        with PassageIndex(path, core) as index:
            for number in range(10_000):
                index.add([IndexedPassage(f"{os.getpid()}-{number}", "", text) for text in texts[:1]])

    children = [fork(fill) for _ in range(2)]
    time.sleep(rng.uniform(0.05, 1))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with PassageIndex(path, core) as index:
        assert index.search("the river of the city", 1, mode="bm25")[0].passage.id == "first"
        count = len(index)
        assert len(index.ids()) == count
        index.add([IndexedPassage("last", "", "a tower")])
        assert len(index) == count + 1
    return count


def _index(rng: random.Random, texts: list[str], folder: Path) -> int:
    """Four processes with four threads search one index while a fifth adds and removes passages."""
    core = encoder(folder.parent)
    path = folder / "index.sqlite"
    with PassageIndex(path, core) as index:
        index.add([IndexedPassage(f"kept {n}", "", f"needle{n} of the river") for n in range(50)])

    def ask() -> None:
        with PassageIndex(path, core) as index, ThreadPoolExecutor(4) as pool:

            def one(number: int) -> None:
                found = index.search(f"needle{number}", 3, mode="bm25" if number % 2 else "blend")
                assert f"kept {number}" in [passage.passage.id for passage in found], number

            list(pool.map(one, [number % 50 for number in range(200)]))

    children = [fork(ask) for _ in range(4)]
    with PassageIndex(path, core) as index:
        for number in range(20):
            index.add([IndexedPassage(f"new {number}", "", texts[number])])
            if number:
                index.delete([f"new {number - 1}"])
    join(children)
    return 800


def fork(work: Callable[[], None]) -> int:
    """A child that does the work and ends with status 0, or 1 after it has said why not."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def join(children: list[int]) -> None:
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert statuses == [0] * len(children), f"children ended with {statuses}"
