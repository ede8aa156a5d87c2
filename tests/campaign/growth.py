"""What is done again and again takes no more memory, files or threads than the first times."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from campaign.texts import encoder, pair_folder, random_text

from dpr_tiny_retriever import CheckpointError, DualEncoder, IndexedPassage, PassageIndex

#: MB that the later rounds may add: allocators keep some of what was freed.
MAX_GROWTH = 24


def attempt(seed: int, folder: Path) -> Counter[str]:
    """Sixty rounds of one kind of work, measured after twenty."""
    rng = random.Random(seed)
    work = rng.choice([_load, _refuse, _encode, _stream, _search, _save])
    for _ in range(20):
        work(rng, folder)
    before = _used()
    for _ in range(40):
        work(rng, folder)
    after = _used()
    name = work.__name__.strip("_")
    assert after["MB"] - before["MB"] < MAX_GROWTH, f"{name}: {before} -> {after}"
    assert after["files"] <= before["files"] + 2, f"{name}: {before} -> {after}"
    assert after["threads"] <= before["threads"] + 1, f"{name}: {before} -> {after}"
    return Counter({"rounds": 60, name: 1})


Work = Callable[[random.Random, Path], None]


def _load(rng: random.Random, folder: Path) -> None:
    DualEncoder.from_pretrained(pair_folder(folder.parent)).encode_queries(["the river"])


def _refuse(rng: random.Random, folder: Path) -> None:
    (folder / "config.json").write_text('{"hidden_size": 7}')
    try:
        DualEncoder.from_pretrained(folder)
    except CheckpointError:
        return
    raise AssertionError("a folder without weights was loaded")


def _encode(rng: random.Random, folder: Path) -> None:
    encoder(folder.parent).encode_passages([random_text(rng, surrogates=False) for _ in range(30)])


def _stream(rng: random.Random, folder: Path) -> None:
    blocks = encoder(folder.parent).stream_passages(f"the river {number}" for number in range(9000))
    next(blocks)
    blocks.close()  # before its end


def _search(rng: random.Random, folder: Path) -> None:
    with PassageIndex(folder / "index.sqlite", encoder(folder.parent)) as index:
        index.update([IndexedPassage(str(number), "the river", f"of the city {rng.random()}") for number in range(20)])
        assert index.search("who wrote of the river", 3)


def _save(rng: random.Random, folder: Path) -> None:
    encoder(folder.parent).save_pretrained(folder / "saved")


def _used() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"MB": pages * 4 >> 10, "files": len(os.listdir("/proc/self/fd")), "threads": threading.active_count()}
