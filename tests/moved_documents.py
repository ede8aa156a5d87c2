"""The expected rankings for both sides of the move from farm-haystack to haystack-ai, and the exchanged file.

The two cannot be installed together: each side is compared with this in its own session.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever import DualEncoder, Passage

EXAMPLES = Path(__file__).parents[1] / "examples"
HANDED_OVER = Path(__file__).parent / "examples" / "handed_over.jsonl"

#: Rankings by MiniLM (unit-length vectors) and by the random pair (dot products).
RANKINGS = {
    "minilm": {
        "Which fish swims back to its birthplace?": ["Salmon", "Eclipse", "Sourdough"],
        "Why is the sky green near the poles?": ["Aurora", "Eclipse", "Lighthouse"],
    },
    "dot": {
        "Which fish swims back to its birthplace?": ["Sourdough", "Lighthouse", "Salmon"],
        "Why is the sky green near the poles?": ["Salmon", "Lighthouse", "Sourdough"],
    },
}
CASES = [(pair, question) for pair, rankings in RANKINGS.items() for question in rankings]


def example(name: str) -> Callable[..., list[tuple[str, float]]]:
    """The function main of an example."""
    main: Callable[..., list[tuple[str, float]]] = runpy.run_path(str(EXAMPLES / name))["main"]
    return main


def documents() -> list[dict[str, Any]]:
    return [json.loads(line) for line in HANDED_OVER.read_text(encoding="utf-8").splitlines()]


def similarities(question: str, model: Path) -> dict[str, float]:
    """Return the model's similarity of a question to each document, by name."""
    encoder = DualEncoder.from_pretrained(model)
    passages = [Passage(document["meta"]["name"], document["content"]) for document in documents()]
    [scores] = np.asarray(encoder.encode_queries([question]) @ encoder.encode_passages(passages).T)
    return {str(passage.title): float(score) for passage, score in zip(passages, scores, strict=True)}
