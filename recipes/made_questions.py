"""Questions made by rule from the sentences of a passage."""

from __future__ import annotations

import random
import re

#: The spaces between two sentences.
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"(])")
_YEAR, _NUMBER = re.compile(r"\d{3,4}"), re.compile(r"[\d,.]*\d[\d,.]*")
_ASKS = {"year": ("when", "what year"), "number": ("how many", "how much"), "name": ("who", "what", "which", "where")}
_FUNCTION_WORDS = frozenset(
    "a an the and or but of in on at by for with to from as is are was were be been its it their his her this that "
    "these those which also has have had not".split()
)


def made_question(title: str, text: str, draw: random.Random) -> str | None:
    """A question without grammar: words around a name or number of one sentence, which an asking word replaces.

    None for a text without a sentence of six words.
    """
    sentences = [sentence.split() for sentence in SENTENCE.split(text)]
    sentences = [words for words in sentences if len(words) >= 6]
    if not sentences:
        return None
    words = draw.choice(sentences)
    named = [at for at, word in enumerate(words) if _kind(word, at)]
    at = draw.choice(named) if named else draw.randrange(len(words))
    ask = draw.choice(_ASKS[_kind(words[at], at) or "name"])
    end = at + 1
    while end < len(words) and at and words[end][:1].isupper():
        end += 1
    before = draw.randint(2, 8)
    kept = [*words[max(at - before, 0) : at], *words[end : end + draw.randint(3, 9)]]
    kept = [word for word in kept if word.lower() not in _FUNCTION_WORDS or draw.random() < 0.5]
    if draw.random() < 0.4:
        kept.insert(draw.choice((0, len(kept))), title)
    cleaned = re.sub(r"[^\w\s'-]", " ", " ".join([ask, *kept])).lower()
    return " ".join(cleaned.split())


def _kind(word: str, at: int) -> str | None:
    bare = word.strip(".,;:()\"'")
    if _YEAR.fullmatch(bare):
        return "year"
    if _NUMBER.fullmatch(bare):
        return "number"
    return "name" if at and bare[:1].isupper() else None
