"""This package with each of its backends, and another version of it: passages a second, and time of a question."""

from __future__ import annotations

from typing import Any

import numpy as np
from context import Context, in_turn
from models import Model
from peers import BACKENDS, BEFORE, OURS
from rows import Ratio, Row
from sections.queries import BLOCK, ask
from tqdm import tqdm

SECTION = "backends"


def measure(context: Context) -> dict[str, Any]:
    """Seconds of each round, by model and peer: all passages, and each question of a block."""
    peers = [OURS, *BACKENDS, *(peer for peer in context.peer_names if peer == BEFORE)]
    return {name: _model(context, context.model(name), peers) for name in context.model_names}


def _model(context: Context, model: Model, peers: list[str]) -> dict[str, Any]:
    settings = context.load(model, peers)
    names = list(settings)
    passages: dict[str, list[float]] = {name: [] for name in names}
    questions: dict[str, list[list[float]]] = {name: [] for name in names}
    for turn in tqdm(range(context.rounds), desc=f"backends, {model.name}", unit=" rounds"):
        for name in in_turn(names, turn):
            passages[name].append(context.peers.call(name, "encode"))
        for name in in_turn(names, turn):
            questions[name].append(ask(context, name, turn * BLOCK % context.questions))
    return {"count": context.passages, "settings": settings, "passages": passages, "questions": questions}


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, record in measured.items():
        passages = record["passages"]
        medians = {peer: [float(np.median(block)) for block in blocks] for peer, blocks in record["questions"].items()}
        for peer, seconds in passages.items():
            speed, note = record["count"] / float(np.median(seconds)), record["settings"][peer]
            found.append(Row(SECTION, model, f"{peer}: passages", speed, "passages/s", note=note))
        for peer, seconds in medians.items():
            found.append(Row(SECTION, model, f"{peer}: one question", 1000 * float(np.median(seconds)), "ms"))
        for peer in passages:
            if peer != OURS:
                speedup = Ratio.of(passages[peer], passages[OURS])
                found.append(
                    Row(SECTION, model, f"passages: ours / {peer}", ratio=speedup, note="how many times as fast")
                )
                speedup = Ratio.of(medians[peer], medians[OURS])
                found.append(
                    Row(SECTION, model, f"questions: ours / {peer}", ratio=speedup, note="how many times as fast")
                )
    return found
