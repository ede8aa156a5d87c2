"""The time of one question at a time, by peer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from context import Context, in_turn
from peers import BEFORE, OURS
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "queries"
PEERS = (BEFORE, "sentence-transformers", "onnxruntime")
BLOCK = 50
#: Seconds after which the previous peer's idle threads have stopped spinning on processors that the next one needs.
PAUSE = 0.5


def measure(context: Context) -> dict[str, Any]:
    """Seconds of each question by model and peer, in blocks in turn; for ours also with all lengths equally often."""
    usual, even = {}, {}
    blocks = range(0, context.questions, BLOCK)
    for name in context.model_names:
        ready = list(context.load(context.model(name), [OURS, *(peer for peer in PEERS if peer in context.peer_names)]))
        spent: dict[str, list[list[float]]] = {peer: [] for peer in ready}
        for turn, first in enumerate(tqdm(blocks, desc=f"queries, {name}", unit=" blocks")):
            for peer in in_turn(ready, turn):
                spent[peer].append(ask(context, peer, first))
        usual[name] = spent
        even[name] = [ask(context, OURS, context.questions + first) for first in blocks]
    return {"usual": usual, "even": even}


def ask(context: Context, peer: str, first: int) -> list[float]:
    """Return the seconds of each question of a block, after a pause and a warm-up."""
    time.sleep(PAUSE)
    context.peers.call(peer, "ask", first=first, last=first + 5)
    return context.peers.call(peer, "ask", first=first, last=first + BLOCK)


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, spent in measured["usual"].items():
        medians = {peer: [float(np.median(block)) for block in blocks] for peer, blocks in spent.items()}
        for peer, blocks in spent.items():
            for percent in (50, 99):
                milliseconds = 1000 * float(np.percentile(np.concatenate(blocks), percent))
                found.append(Row(SECTION, model, f"{peer}: p{percent}", milliseconds, "ms"))
        found.append(Row(SECTION, model, "ours: p99 / p50", _tail(spent[OURS])))
        even = _tail(measured["even"][model])
        found.append(Row(SECTION, model, "ours: p99 / p50, all lengths equally often", even))
        found += [
            Row(SECTION, model, f"p50: ours / {peer}", ratio=Ratio.of(medians[OURS], medians[peer]))
            for peer in spent
            if peer != OURS
        ]
    return found


def _tail(blocks: list[list[float]]) -> float:
    seconds = np.concatenate(blocks)
    return float(np.percentile(seconds, 99) / np.median(seconds))
