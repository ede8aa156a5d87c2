"""Whether a passage holds an answer, as facebookresearch/DPR decides it (its match type "string").

Both texts are decomposed (Unicode NFD), cut into runs of letters, digits and marks and into single other
characters, spaces and control characters dropped, and lower-cased; an answer is held where its tokens stand
in a row. Titles do not count.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

import regex

_TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]", regex.IGNORECASE | regex.UNICODE | regex.MULTILINE)


def answer_tokens(text: str) -> list[str]:
    """The tokens that are compared."""
    return [token.lower() for token in _TOKEN.findall(unicodedata.normalize("NFD", text))]


def has_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether any of the answers stands in the text, token by token."""
    held = _joined(text)
    return any(_joined(answer) in held for answer in answers)


@functools.lru_cache(maxsize=50_000)
def _joined(text: str) -> str:
    """The tokens between separators that none of them contains: a substring is then a run of whole tokens."""
    return "\n".join(["", *answer_tokens(text), ""])
