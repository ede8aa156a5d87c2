"""The index of passages: what adding costs beside encoding, and an answer in each mode."""

from __future__ import annotations

from typing import Any

import numpy as np
from context import Context, in_turn
from peers import OURS
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "index"
#: Passages of the index that is searched.
LARGE = 100_000
BLOCK = 50
_MODES = ("blend", "dense", "bm25")


def measure(context: Context) -> dict[str, Any]:
    """Seconds of each round for encoding and for adding the same passages, and of questions to a large index."""
    model = context.model("bundled")
    context.load(model, [OURS])
    spent: dict[str, list[float]] = {"encode": [], "add": []}
    for turn in tqdm(range(context.rounds), desc="index: adding", unit=" rounds"):
        for name in in_turn(list(spent), turn):
            where = {} if name == "encode" else {"path": str(context.work / "small.sqlite")}
            spent[name].append(context.peers.call(OURS, name, **where))
    large = context.peers.call(OURS, "fill", path=str(context.work / "large.sqlite"), count=LARGE)
    questions: dict[str, list[float]] = {mode: [] for mode in _MODES}
    for turn in tqdm(range(context.rounds), desc="index: questions", unit=" rounds"):
        first = turn * BLOCK % context.questions
        for mode in in_turn(list(_MODES), turn):
            questions[mode] += context.peers.call(OURS, "search", mode=mode, first=first, last=first + BLOCK)
    return {model.name: {"passages": context.passages, "spent": spent, "large": large, "questions": questions}}


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, record in measured.items():
        spent, large = record["spent"], record["large"]
        for name, seconds in spent.items():
            found.append(Row(SECTION, model, name, record["passages"] / float(np.median(seconds)), "passages/s"))
        found.append(Row(SECTION, model, "add / encode", ratio=Ratio.of(spent["encode"], spent["add"])))
        found.append(Row(SECTION, model, f"{LARGE:,} passages: on disk", large["bytes"] / 2**20, "MiB"))
        opening = 1000 * large["first answer"]
        found.append(Row(SECTION, model, f"{LARGE:,} passages: opening and first answer", opening, "ms"))
        memory = (large["memory after"] - large["memory before"]) / 2**20
        found.append(Row(SECTION, model, f"{LARGE:,} passages: memory", memory, "MiB"))
        for mode, seconds in record["questions"].items():
            found.append(Row(SECTION, model, f"{LARGE:,} passages: {mode}", 1000 * float(np.median(seconds)), "ms"))
    return found
