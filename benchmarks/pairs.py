"""Compare the encoding speed of pairs: `python benchmarks/pairs.py bundled bundled-L12 path/to/all-MiniLM-L6-v2`.

Each pair encodes the same titled passages of 20 to 156 tokens, and the same questions one at a time. They take turns in
one process. Each figure is a median over the rounds; the ratios are to the last model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import texts

from dpr_tiny_retriever import DualEncoder

QUESTIONS = 50


class Speed(NamedTuple):
    """Of one pair."""

    passages: float
    """A second."""
    milliseconds: float
    """For one question."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Speed]:
    """Print and return the speed of each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="presets, folders or hub ids")
    parser.add_argument("--passages", type=int, default=256, help="passages of each round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    pairs = {model: DualEncoder.from_pretrained(model) for model in options.models}
    tokenizer = texts.load_tokenizer()
    passages, questions = texts.passages(options.passages, tokenizer), texts.questions(QUESTIONS, tokenizer)
    times: dict[str, list[Speed]] = {model: [] for model in pairs}
    for number in range(options.rounds + 1):
        for model, pair in pairs.items():
            measured = speed(pair, passages, questions)
            if number:  # the first is a warm-up
                times[model].append(measured)
    medians = {model: Speed(*np.median(each, axis=0)) for model, each in times.items()}
    last = medians[options.models[-1]]
    for model, of in medians.items():
        print(
            f"{model:30} {of.passages:7,.0f} passages a second ({of.passages / last.passages:.1f} times), "
            f"a question in {of.milliseconds:.2f} ms ({last.milliseconds / of.milliseconds:.1f} times)"
        )
    return medians


def speed(pair: DualEncoder, passages: list[texts.Pair], questions: list[str]) -> Speed:
    """Measure one round."""
    start = time.perf_counter()
    pair.encode_passages(passages, show_progress=False)
    seconds = [time.perf_counter() - start]
    for question in questions:
        start = time.perf_counter()
        pair.encode_queries([question])
        seconds.append(time.perf_counter() - start)
    return Speed(len(passages) / seconds[0], 1000 * float(np.median(seconds[1:])))


if __name__ == "__main__":
    main()
