"""From the start of a process to its first vector."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from context import Context, in_turn
from models import REPOSITORY, Model
from peers import KINDS, OURS, PeerError, environment_of
from rows import Ratio, Row
from tqdm import tqdm

SECTION = "starts"
THEIRS = "sentence-transformers"
_DONE = "print('done', flush=True)"
_OURS = "import sys; from dpr_tiny_retriever import DualEncoder; pair = DualEncoder.from_pretrained(sys.argv[1]); "
_TEN = "[('Lighthouse', f'A tower of {metres} metres that warns ships of rocks.') for metres in range(10)]"
_THEIRS = (
    "import sys; from sentence_transformers import SentenceTransformer; "
    "model = SentenceTransformer(sys.argv[1] + '/query_encoder', device='cpu'); "
)

#: By name: the peer in whose environment a process runs, and its program, which ends by printing "done".
PROGRAMS = {
    "one question": (OURS, _OURS + "pair.encode_queries(['who wrote it?']); " + _DONE),
    "ten passages": (OURS, _OURS + f"pair.encode_passages({_TEN}); " + _DONE),
    "import tensorflow": (OURS, "import tensorflow; " + _DONE),
    THEIRS: (THEIRS, _THEIRS + "model.encode(['who wrote it?']); " + _DONE),
}


def measure(context: Context) -> dict[str, Any]:
    """Seconds of each round by program. A first round fills the disk cache and is not counted."""
    model = context.model("L-2")
    pythons = {}
    for name, (peer, _) in PROGRAMS.items():
        try:
            if peer == OURS or peer in context.peer_names:
                pythons[name] = context.peers.python(peer)
        except PeerError as error:
            context.missing.append(f"cold start of {name}: {error}")
    names, spent = list(pythons), {name: [] for name in pythons}
    for turn in tqdm(range(context.rounds + 1), desc="cold starts", unit=" rounds"):
        for name in in_turn(names, turn):
            seconds = _start(pythons[name], name, model)
            if turn:
                spent[name].append(seconds)
    return {model.name: spent}


def _start(python: Path, name: str, model: Model) -> float:
    peer, program = PROGRAMS[name]
    begin = time.perf_counter()
    with subprocess.Popen(
        [python, "-c", program, model.saved],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment_of(KINDS[peer]),
        cwd=REPOSITORY,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        spent = time.perf_counter() - begin
    if b"done" not in line:
        raise PeerError(f"{name}: a fresh process gave no vector; run: {python} -c {program!r} {model.saved}")
    return spent


def rows(measured: dict[str, Any]) -> list[Row]:
    found = []
    for model, spent in measured.items():
        ours, bare = np.array(spent["one question"]), np.array(spent["import tensorflow"])
        found += [Row(SECTION, model, name, float(np.median(seconds)), "s") for name, seconds in spent.items()]
        more = float(np.median(ours - bare))
        found.append(Row(SECTION, model, "one question - import tensorflow", more, "s"))
        if THEIRS in spent:
            ratio = Ratio.of(spent["one question"], spent[THEIRS])
            found.append(Row(SECTION, model, f"one question / {THEIRS}", ratio=ratio))
    return found
