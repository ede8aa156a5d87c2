"""The time of one question at a time, by peer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from context import Context, in_turn
from peers import OURS
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "queries"
PEERS = ("sentence-transformers", "onnxruntime")
BLOCK = 50
#: Seconds after which the threads of the peer before no longer spin in wait of work, on processors that others need.
PAUSE = 0.5


def measure(context: Context) -> dict[str, Any]:
    """By model and peer: seconds of each question, in blocks that the peers take in turn; and of even lengths, ours."""
    usual, evenly = {}, {}
    blocks = range(0, context.questions, BLOCK)
    for name in context.model_names:
        ready = list(context.load(context.model(name), [OURS, *(peer for peer in PEERS if peer in context.peer_names)]))
        spent: dict[str, list[list[float]]] = {peer: [] for peer in ready}
        for turn, first in enumerate(tqdm(blocks, desc=f"queries, {name}", unit=" blocks")):
            for peer in in_turn(ready, turn):
                spent[peer].append(_ask(context, peer, first))
        usual[name] = spent
        evenly[name] = [_ask(context, OURS, context.questions + first) for first in blocks]
    return {"usual": usual, "evenly": evenly}


def _ask(context: Context, peer: str, first: int) -> list[float]:
    time.sleep(PAUSE)
    context.peers.call(peer, "ask", first=first, last=first + 5)  # awake again
    return context.peers.call(peer, "ask", first=first, last=first + BLOCK)


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, spent in measured["usual"].items():
        medians = {peer: [float(np.median(block)) for block in blocks] for peer, blocks in spent.items()}
        for peer, blocks in spent.items():
            for percent in (50, 99):
                milliseconds = 1000 * float(np.percentile(np.concatenate(blocks), percent))
                found.append(Row(SECTION, model, f"{peer}: p{percent}", milliseconds, "ms"))
        found.append(Row(SECTION, model, "ours: p99 / p50", _steadiness(spent[OURS])))
        evenly = _steadiness(measured["evenly"][model])
        found.append(Row(SECTION, model, "ours: p99 / p50, every length as often", evenly))
        found += [
            Row(SECTION, model, f"p50: ours / {peer}", ratio=Ratio.of(medians[OURS], medians[peer]))
            for peer in spent
            if peer != OURS
        ]
    return found


def _steadiness(blocks: list[list[float]]) -> float:
    seconds = np.concatenate(blocks)
    return float(np.percentile(seconds, 99) / np.median(seconds))
