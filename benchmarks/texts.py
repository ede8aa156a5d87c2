"""Titled passages and questions of realistic lengths, cut from the language reference that Python ships.

Lengths are in word pieces of BERT's uncased vocabulary, special tokens included. The same seed gives the same texts.
"""

from __future__ import annotations

import re
from functools import cache
from pydoc_data.topics import topics

import numpy as np
from tokenizers import Tokenizer

from dpr_tiny_retriever import Encoder

Pair = tuple[str, str]

#: The shortest and the longest passage; lengths between them follow a Beta distribution with mean 105.
SHORTEST, LONGEST = 20, 156
_BETA = (2.2, 1.32)

#: The shortest and the longest question. Most have 6 to 20 word pieces.
SHORTEST_QUESTION, LONGEST_QUESTION = 5, 64
_USUAL = (6, 10, 20)

_OPENINGS = (
    "how does",
    "what is",
    "why is",
    "when is",
    "which of",
    "who calls",
    "where is",
    "how can one use",
    "is it true that",
    "what happens if",
)


def passages(count: int, tokenizer: Tokenizer, *, seed: int = 0) -> list[Pair]:
    """Return (title, text): a topic, and text from the start of a paragraph on; 20 to 156 word pieces together."""
    rng = np.random.default_rng(seed)
    lengths = (SHORTEST + (LONGEST - SHORTEST) * rng.beta(*_BETA, count)).round().astype(int)
    return [_window(tokenizer, rng, int(length)) for length in lengths]


def sentences(count: int, tokenizer: Tokenizer, *, seed: int = 1) -> list[Pair]:
    """Return short titled passages of 10 to 40 word pieces."""
    rng = np.random.default_rng(seed)
    return [_window(tokenizer, rng, int(length)) for length in rng.integers(10, 41, count)]


def questions(count: int, tokenizer: Tokenizer, *, evenly: bool = False, seed: int = 2) -> list[str]:
    """Return questions of mostly 6 to 20 word pieces in random order; a thousand hold every length from 5 to 64.

    evenly: all lengths equally often.
    """
    rng = np.random.default_rng(seed)
    every = np.arange(SHORTEST_QUESTION, LONGEST_QUESTION + 1)
    lengths = np.resize(every, count) if evenly else rng.triangular(*_USUAL, count).round().astype(int)
    if count > 2 * len(every):
        lengths[: len(every)] = every
    return [_question(tokenizer, rng, int(length)) for length in rng.permutation(lengths)]


def _window(tokenizer: Tokenizer, rng: np.random.Generator, length: int) -> Pair:
    """Return a passage of this many word pieces, or a few more if the last word has several."""
    names = list(topics)
    while True:
        name = names[rng.integers(len(names))]
        title = name.replace("-", " ")
        text, starts, ends = _pieces(tokenizer, name)
        room = length - 3 - len(tokenizer.encode(title, add_special_tokens=False).ids)
        openings = [first for first in starts if first + room <= len(ends)]
        if openings and room > 0:
            first = openings[rng.integers(len(openings))]
            return title, text[ends[first][0] : ends[first + room - 1][1]]


def _question(tokenizer: Tokenizer, rng: np.random.Generator, length: int) -> str:
    """Return the opening of a question, followed by consecutive words of the reference."""
    words = _words()
    while True:
        opening = _OPENINGS[rng.integers(len(_OPENINGS))]
        first = rng.integers(len(words) - LONGEST_QUESTION)
        for last in range(first, first + LONGEST_QUESTION):
            question = " ".join([opening, *words[first:last]]) + "?"
            found = len(tokenizer.encode(question, add_special_tokens=False).ids) + 2
            if found == length:
                return question
            if found > length:
                break


@cache
def _words() -> list[str]:
    return re.findall(r"[A-Za-z_]+", " ".join(topics.values()).lower())


@cache
def _pieces(tokenizer: Tokenizer, name: str) -> tuple[str, list[int], list[tuple[int, int]]]:
    """Return a topic's text, the pieces that start paragraphs, and the span of each piece's word."""
    text = re.sub(r"^(?:[=*~-]{3,})$", "", topics[name], flags=re.MULTILINE)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    words = {}
    for word, (begin, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        words[word] = (words.get(word, (begin, end))[0], end)
    ends = [words[word] for word in encoding.word_ids]
    paragraphs = [0, *(found.end() for found in re.finditer(r"\n\s*\n\s*", text))]
    begins = np.array([begin for begin, _ in encoding.offsets])
    starts = [int(np.searchsorted(begins, at)) for at in paragraphs]
    return text, sorted(set(starts) - {len(ends)}), ends


def load_tokenizer() -> Tokenizer:
    """Return the bundled pair's tokenizer, which is that of BERT, uncased, without truncation."""
    tokenizer = Tokenizer.from_str(Encoder.from_pretrained(side="query").tokenizer.tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
