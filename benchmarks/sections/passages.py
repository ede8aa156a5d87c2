"""Passages a second for each peer, equal work, and where our own time goes."""

from __future__ import annotations

from typing import Any

import numpy as np
from context import Context, in_turn
from models import Model, operations
from peers import OURS, PeerError
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "passages"
#: Ours with the precision that is an option: it counts for no bar.
OPTION = "bfloat16"


def measure(context: Context) -> dict[str, Any]:
    """By model: seconds of each round by peer, and what belongs to them."""
    return {name: _model(context, context.model(name)) for name in context.model_names}


def _model(context: Context, model: Model) -> dict[str, Any]:
    settings = context.load(model, [OURS, *context.peer_names])
    differences = _differences(context, [name for name in settings if name != OURS])
    names = list(settings)
    spent: dict[str, list[float]] = {name: [] for name in names}
    peaks, stages = [], []
    for turn in tqdm(range(context.rounds), desc=f"passages, {model.name}", unit=" rounds"):
        peaks.append(context.peers.call("numpy", "peak"))
        for name in in_turn(names, turn):
            spent[name].append(context.peers.call(name, "encode"))
        stages.append(context.peers.call(OURS, "stages"))
    context.about |= context.peers.call("numpy", "about")
    return {
        "passages": context.passages,
        "seconds": spent,
        "settings": settings,
        "largest differences": differences,
        "peak operations a second": peaks,
        "seconds of stages": stages,
        "lengths": context.peers.call(OURS, "lengths"),
    }


def _differences(context: Context, names: list[str]) -> dict[str, float]:
    """How far each peer's vectors are from ours, at most."""

    def vectors(peer: str, method: str) -> np.ndarray:
        path = context.work / f"{peer}.npy"
        context.peers.call(peer, method, vectors=str(path))
        return np.load(path)

    ours = vectors(OURS, "encode")
    found = {}
    for name in names:
        try:
            # DPR's classes have no pooler, and farm-haystack gives them one segment.
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
    stages = {name: [turn[name] for turn in record["seconds of stages"]] for name in record["seconds of stages"][0]}
    count = operations(model, record["lengths"])
    spread = f"{lengths.min()} to {lengths.max()} tokens, {lengths.mean():.1f} in the mean"
    return [
        Row(SECTION, model, "tokens", lengths.sum() / float(np.median(ours)), "tokens/s", note=spread),
        Row(SECTION, model, "peak of sgemm", float(np.median(peaks)) / 1e9, "GFLOP/s", note="numpy, 1024 x 1024"),
        Row(
            SECTION,
            model,
            "our arithmetic",
            count / float(np.median(ours)) / 1e9,
            "GFLOP/s",
            Ratio.of([count / (seconds * peak) for seconds, peak in zip(ours, peaks, strict=True)], [1.0] * len(ours)),
            "of real tokens; the ratio is its share of the peak",
        ),
        *(
            Row(
                SECTION,
                model,
                f"{name} alone",
                len(lengths) / float(np.median(seconds)),
                "passages/s",
                Ratio.of(seconds, ours),
                "the ratio is its time beside the time of all; stages overlap",
            )
            for name, seconds in stages.items()
        ),
    ]
