"""The texts that the controller wrote for every worker, and timing in seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def read_texts(path: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return titled passages, and questions."""
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    return [(title, text) for title, text in record["passages"]], record["questions"]


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def seconds_each(work: Callable[[Any], object], items: list[Any]) -> list[float]:
    """Return how long a call takes for each item."""
    return [seconds(lambda item=item: work(item)) for item in items]


def fastest(choices: list[int], work: Callable[[int], object], *, times: int = 2) -> int:
    """Return the fastest choice, by the best of a few tries in turn after a warm-up."""
    work(choices[0])
    spent = {choice: float("inf") for choice in choices}
    for _ in range(times):
        for choice in choices:
            spent[choice] = min(spent[choice], seconds(lambda choice=choice: work(choice)))
    return min(choices, key=spent.__getitem__)


def in_both_ways(ways: Sequence[Callable[[str], object]], questions: list[str]) -> list[float]:
    """Return how long all questions take in each way; the ways take turns question by question."""
    spent = [0.0] * len(ways)
    for turn, question in enumerate(questions):
        for step in range(len(ways)):
            chosen = (turn + step) % len(ways)
            spent[chosen] += seconds(lambda way=ways[chosen], question=question: way(question))
    return spent
