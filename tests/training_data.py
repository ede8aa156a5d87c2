"""Questions that share words with their passages."""

from __future__ import annotations

from itertools import permutations
from typing import Any

WORDS = "river city tower first query passage title text wrote".split()


def records(count: int = 24) -> list[dict[str, Any]]:
    """DPR records whose questions share words with their passages, of different lengths; some have hard negatives."""
    return [
        {
            "question": f"who wrote the {first} of {second}",
            "answers": [first],
            "positive_ctxs": [{"title": first, "text": f"the {first} of the {second} " * (1 + number % 3)}],
            "hard_negative_ctxs": [{"title": second, "text": f"a {second} and a {first}"}] if number % 4 else [],
        }
        for number, (first, second) in zip(range(count), permutations(WORDS, 2), strict=False)
    ]
