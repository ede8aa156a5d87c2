"""Passages a second of each peer for the same texts, and how far ours is from the processor's peak."""

from __future__ import annotations

from typing import Any

import numpy as np
from context import Context, in_turn
from models import Model, operations
from peers import OURS, PeerError
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "passages"
#: Ours with an optional precision, to which no target applies.
OPTION = "bfloat16"


def measure(context: Context) -> dict[str, Any]:
    """Seconds of each round by model and peer, with settings, differences and the processor's peak."""
    return {name: _model(context, context.model(name)) for name in context.model_names}


def _model(context: Context, model: Model) -> dict[str, Any]:
    settings = context.load(model, [OURS, *context.peer_names])
    differences = _differences(context, [name for name in settings if name != OURS])
    names = list(settings)
    spent: dict[str, list[float]] = {name: [] for name in names}
    peaks = []
    for turn in tqdm(range(context.rounds), desc=f"passages, {model.name}", unit=" rounds"):
        peaks.append(context.peers.call("numpy", "peak"))
        for name in in_turn(names, turn):
            spent[name].append(context.peers.call(name, "encode"))
    context.about |= context.peers.call("numpy", "about")
    return {
        "passages": context.passages,
        "seconds": spent,
        "settings": settings,
        "largest differences": differences,
        "peak operations a second": peaks,
        "lengths": context.peers.call(OURS, "lengths"),
    }


def _differences(context: Context, names: list[str]) -> dict[str, float]:
    """Return the largest difference between each peer's vectors and ours."""

    def vectors(peer: str, method: str) -> np.ndarray:
        path = context.work / f"{peer}.npy"
        context.peers.call(peer, method, vectors=str(path))
        return np.load(path)

    ours = vectors(OURS, "encode")
    found = {}
    for name in names:
        try:
            # transformers' DPR classes have no pooler, and farm-haystack uses one segment for title and text.
            expected = vectors(OURS, "encode_as_dpr") if name == "farm-haystack" else ours
            found[name] = float(np.abs(vectors(name, "encode") - expected).max())
        except PeerError as error:
            context.missing.append(f"{name}: {error}")
    return found


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, record in measured.items():
        spent, passages, lengths = record["seconds"], record["passages"], np.array(record["lengths"])
        for name, seconds in spent.items():
            note = record["settings"][name]
            if name in record["largest differences"]:
                note += f"; vectors differ by {record['largest differences'][name]:.1e} at most"
            found.append(Row(SECTION, model, name, passages / float(np.median(seconds)), "passages/s", note=note))
        found += [
            Row(SECTION, model, f"{mine} / {name}", ratio=Ratio.of(seconds, spent[mine]))
            for mine in (OURS, OPTION)
            for name, seconds in spent.items()
            if mine in spent and name not in (OURS, mine)
        ]
        found += _our_rows(model, record, spent[OURS], lengths)
    return found


def _our_rows(model: str, record: dict[str, Any], ours: list[float], lengths: np.ndarray) -> list[Row]:
    peaks = record["peak operations a second"]
    count = operations(model, record["lengths"])
    spread = f"{lengths.min()} to {lengths.max()} tokens, mean {lengths.mean():.1f}"
    return [
        Row(SECTION, model, "tokens", lengths.sum() / float(np.median(ours)), "tokens/s", note=spread),
        Row(SECTION, model, "sgemm", float(np.median(peaks)) / 1e9, "GFLOP/s", note="numpy, 1024 x 1024"),
        Row(
            SECTION,
            model,
            "ours",
            count / float(np.median(ours)) / 1e9,
            "GFLOP/s",
            Ratio.of([count / (seconds * peak) for seconds, peak in zip(ours, peaks, strict=True)], [1.0] * len(ours)),
            "without padding; ratio to sgemm",
        ),
    ]
