"""Time that retrieval through a framework's adapter takes, beside encoder and store called directly."""

from __future__ import annotations

from typing import Any

import numpy as np
from context import Context
from peers import PeerError
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "adapters"
PEERS = ("frameworks", "farm-haystack's adapter")
BLOCK = 50


def measure(context: Context) -> dict[str, Any]:
    """Seconds of each block of questions by framework and store: through the adapter, and directly."""
    model = context.model("L-2")
    folders = {"source": str(model.source), "saved": str(model.saved), "texts": str(context.texts_file)}
    searches, spent = [], {}
    for peer in PEERS:
        try:
            searches += [(peer, name) for name in context.peers.call(peer, "load", **folders)]
        except PeerError as error:
            context.missing.append(f"{peer}: {error}")
    for turn in tqdm(range(context.rounds), desc="adapters", unit=" rounds"):
        first = turn * BLOCK % context.questions
        for peer, name in searches:
            block = context.peers.call(peer, "retrieve", name=name, first=first, last=first + BLOCK)
            spent.setdefault(name, []).append(block)
    return {model.name: {"passages": context.passages, "questions": BLOCK, "seconds": spent}}


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, record in measured.items():
        for name, blocks in record["seconds"].items():
            by_adapter, direct = np.array(blocks).T
            each = 1000 * float(np.median(by_adapter)) / record["questions"]
            ratio = Ratio.of(by_adapter.tolist(), direct.tolist())
            percent = f"{100 * (ratio.median - 1):+.1f} % beside encoder and store called directly"
            found.append(Row(SECTION, model, name, each, "ms", ratio, percent))
    return found
