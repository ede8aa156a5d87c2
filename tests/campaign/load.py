"""A large index, asked by threads of several processes while it is written to: no error, no wrong answer."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from campaign.processes import fork, join
from campaign.texts import encoder

from dpr_tiny_retriever import DualEncoder, IndexedPassage, PassageIndex
from dpr_tiny_retriever.types import SearchMode, Vectors

PASSAGES, PROCESSES, THREADS = 100_000, 4, 8
MODES: tuple[SearchMode, ...] = ("blend", "bm25")
_WORDS = [f"{first}{second}" for first in "bcdfgklmnprst" for second in ("alo", "ino", "uter", "ama", "esti", "ora")]


def attempt(seed: int, folder: Path, passages: int | None = None, seconds: float | None = None) -> Counter[str]:
    """Fill an index, then ask and write until the part's time is over, and for twenty seconds at least.

    Every question by words, or blended, names the one word of a passage that nobody removes, and has to find it: by
    words alone as the first. By vectors alone, no score may be worse than of the best among passages that nobody
    removes. The writer has to find what it has added, and not what it has deleted.
    """
    passages = passages or int(os.environ.get("CAMPAIGN_PASSAGES", PASSAGES))
    rng = random.Random(seed)
    core = encoder(folder.parent)
    path = folder / "index.sqlite"
    vectors = []
    with PassageIndex(path, core) as index:
        for begin in range(0, passages, 5000):
            block = [_passage(rng, number) for number in range(begin, min(begin + 5000, passages))]
            index.add(block)
            vectors.append(core.encode_passages([(one.title, one.text) for one in block]))
    np.save(folder / "kept.npy", np.concatenate(vectors))
    stop = time.time() + (seconds or max(20.0, float(os.environ.get("CAMPAIGN_STOP", 0)) - time.time()))
    begun = time.time()
    children = [fork(partial(_ask, path, core, passages, stop, number)) for number in range(PROCESSES)]
    written = log_size = 0
    with PassageIndex(path, core) as index:
        while time.time() < stop:
            index.add([_passage(rng, passages + written + number) for number in range(20)])
            index.delete([str(passages + written + number) for number in range(15)])
            for number, is_there in ((passages + written, False), (passages + written + 19, True)):
                found = index.search(f"needle{number}", 1, mode="bm25")
                assert [one.passage.id for one in found] == [str(number)] * is_there, f"needle{number}: {found}"
            written += 20
            log_size = max(log_size, path.with_name("index.sqlite-wal").stat().st_size)
            time.sleep(0.05)
        assert len(index) == passages + written // 20 * 5
    join(children)
    asked = round(time.time() - begun)
    latencies = np.concatenate([np.load(one) for one in sorted(folder.glob("latencies-*.npy"))])
    half, most, longest = np.percentile(latencies * 1000, [50, 99, 100])
    counts = Counter(
        {"questions": len(latencies), "passages": passages, "written": written, "seconds of asking": asked}
    )
    counts["MB of log at most"] = log_size >> 20
    counts[f"ms p50, {most:.0f} ms p99, {longest:.0f} ms at most"] = round(half)
    return counts


def _ask(path: Path, core: DualEncoder, passages: int, stop: float, process: int) -> None:
    """Ask from eight threads until the moment stop; keeps the seconds that each answer took."""
    seconds: list[float] = []
    kept = np.load(path.with_name("kept.npy"), mmap_mode="r")
    with PassageIndex(path, core) as index, ThreadPoolExecutor(THREADS) as pool:

        def work(thread: int) -> None:
            rng = random.Random(100 * process + thread)
            while time.time() < stop:
                number, mode = rng.randrange(passages), rng.choice(MODES)
                begin = time.perf_counter()
                found = index.search(f"needle{number}", 10, mode=mode)
                seconds.append(time.perf_counter() - begin)
                ids = [one.passage.id for one in found]
                assert ids[:1] == [str(number)] or (mode == "blend" and str(number) in ids), f"needle{number}: {ids}"
                _check_nearest(index, core, rng.choice(_WORDS), kept)

        list(pool.map(work, range(THREADS)))
    np.save(path.with_name(f"latencies-{process}.npy"), np.array(seconds))


def _check_nearest(index: PassageIndex, core: DualEncoder, question: str, kept: Vectors) -> None:
    """Check that the five results have their vectors' scores, and that no permanent passage is nearer than they are."""
    found = index.search(question, 5, mode="dense")
    query = core.encode_queries([question])[0]
    expected = core.encode_passages([(one.passage.title, one.passage.text) for one in found]) @ query
    scores = np.array([one.score for one in found])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    least = np.partition(kept @ query, -5)[-5:].min()
    assert len(found) == 5, found
    assert (np.diff(scores) <= 0).all(), scores
    assert scores[-1] >= least - 1e-4, f"{question}: {scores}, but kept passages have {least}"


def _passage(rng: random.Random, number: int) -> IndexedPassage:
    return IndexedPassage(str(number), "", f"needle{number} {' '.join(rng.choices(_WORDS, k=12))}")
