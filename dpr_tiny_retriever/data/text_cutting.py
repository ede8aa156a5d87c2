"""Cutting texts where their writers paused, into parts that a model reads whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from dpr_tiny_retriever.text.pair_tokenizer import MAX_WORD_CHARS

#: Words in a passage (Karpukhin et al. 2020, section 4.1, cut Wikipedia into passages of 100).
PASSAGE_WORDS = 100

#: Texts -> the number of word pieces of each, such as PairTokenizer.count.
TokenCounter: TypeAlias = Callable[[list[str]], Sequence[int]]

#: What is longer is cut without its tokens being counted.
_MAX_CHARS = PASSAGE_WORDS * MAX_WORD_CHARS
#: A word of BERT's: without blanks, without punctuation and ideographs, each of which is a word of its own.
_BERT_WORD = re.compile(
    r"[^\s!-/:-@\[-`{-~\u2010-\u2027\u2030-\u205e\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\uff01-\uff0f\uff1a-\uff20\U00020000-\U0002fa1f]+"
)
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"[.!?…][\"')\]”’»]*\s+|[。．！？｡।॥۔؟።။៕][」』”’）)\]]*\s*")  # noqa: RUF001
_LINE = re.compile(r"\n")
_WORDS = re.compile(rf"(?:\S+\s*){{1,{PASSAGE_WORDS}}}")
_WORD = re.compile(r"\s+")
#: A paragraph that is too long is cut behind matches of the first, what is then too long behind those of the next.
_CUTS = (_SENTENCE, _LINE, _WORDS, _WORD)


@dataclass(frozen=True)
class Limits:
    """The most word pieces of a part, and what counts them."""

    tokens: int
    count: TokenCounter


class Piece(NamedTuple):
    """A part of a text, with the blanks behind it, and its size."""

    start: int
    end: int
    words: int
    tokens: int
    """Not counted, and 0, where the piece is too long in any case."""
    has_unread_word: bool
    """Whether it holds a word of so many characters that WordPiece makes it [UNK]."""

    def with_next(self, following: Piece) -> Piece:
        """Both pieces as one."""
        unread = self.has_unread_word or following.has_unread_word
        return Piece(self.start, following.end, self.words + following.words, self.tokens + following.tokens, unread)


class Cutter:
    """Cuts one text into parts of at most PASSAGE_WORDS words and so many tokens as its limits allow."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.text = text
        self.limits = limits

    @staticmethod
    def paragraphs_of(cutters: Sequence[Cutter]) -> list[list[Piece]]:
        """The paragraphs of each text; the tokens of all are counted at once, which takes less time."""
        spans = [list(_spans(_PARAGRAPH, cutter.text, 0, len(cutter.text))) for cutter in cutters]
        texts = [cutter.text[a:b] for cutter, row in zip(cutters, spans, strict=True) for a, b in row]
        sizes = iter(_sizes(texts, cutters[0].limits.count) if texts else [])
        return [[Piece(start, end, *next(sizes)) for start, end in row] for row in spans]

    def parts(self, paragraphs: Iterable[Piece] | None = None) -> Iterator[tuple[int, str]]:
        """Yield the row, from 0, where each part begins, and the part, short paragraphs joined.

        Parts hold all of the text but for blanks and blank lines at their ends.
        """
        [pieces] = [paragraphs] if paragraphs is not None else self.paragraphs_of([self])
        row = counted = 0
        for piece in self._packed(pieces, 0):
            start, end = piece[:2]
            part = self.text[start:end]
            blank_lines = part[: len(part) - len(part.lstrip())].rfind("\n") + 1
            start += blank_lines  # what indents the first line is kept
            row += self.text.count("\n", counted, start)
            counted = start
            yield row, part[blank_lines:].rstrip()

    def beginning(self) -> str:
        """As much of the beginning of the text as the limits allow, "" for none."""
        first = Cutter(self.text[:_MAX_CHARS], self.limits).parts()
        return next((part for _, part in first if self.limits.tokens), "")

    def _packed(self, pieces: Iterable[Piece], level: int) -> Iterator[Piece]:
        """Join pieces as long as they fit, and cut those that do not."""
        held: Piece | None = None
        for piece in pieces:
            if held is not None:
                joined = held.with_next(piece)
                if self._fits(joined):
                    held = joined
                    continue
                yield held
            held = piece
            if not self._fits(piece):
                *whole, held = self._cut(piece, level)
                yield from whole
        if held is not None:
            yield held

    def _fits(self, piece: Piece) -> bool:
        is_short = piece.words <= PASSAGE_WORDS and piece.end - piece.start <= _MAX_CHARS
        return is_short and piece.tokens <= self.limits.tokens and not piece.has_unread_word

    def _cut(self, piece: Piece, level: int) -> list[Piece]:
        if level == len(_CUTS):
            return list(self._cut_anywhere(piece))
        spans = list(_spans(_CUTS[level], self.text, piece.start, piece.end))
        if len(spans) == 1:
            return self._cut(piece, level + 1)
        return list(self._packed(self._measured(spans), level + 1))

    def _cut_anywhere(self, piece: Piece) -> Iterator[Piece]:
        """Cut a word into parts that fit, behind marks where there are some; a single character is never cut."""
        length = piece.end - piece.start
        if length > _MAX_CHARS:
            step = _MAX_CHARS
        elif piece.tokens > self.limits.tokens:
            step = max(1, length * self.limits.tokens // piece.tokens)
        else:
            step = MAX_WORD_CHARS
        spans, start = list[tuple[int, int]](), piece.start
        while start < piece.end:
            end = self._behind_mark(start + step, step // 4) if start + step < piece.end else piece.end
            spans.append((start, end))
            start = end
        for part in self._measured(spans):
            if self._fits(part) or part.end - part.start == 1:
                yield part
            else:
                yield from self._cut_anywhere(part)

    def _behind_mark(self, end: int, most: int) -> int:
        """The last place behind a mark of punctuation, at most so many characters before end; end for none."""
        return next((at for at in range(end, end - most, -1) if not self.text[at - 1].isalnum()), end)

    def _measured(self, spans: list[tuple[int, int]]) -> list[Piece]:
        sizes = _sizes([self.text[start:end] for start, end in spans], self.limits.count)
        return [Piece(start, end, *size) for (start, end), size in zip(spans, sizes, strict=True)]


def _spans(cut: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of text[start:end] that end where a match ends, those of blanks alone left out."""
    for match in cut.finditer(text, start, end):
        if cut is _SENTENCE and text[match.end() : match.end() + 1].islower():
            continue  # an abbreviation ends here, no sentence
        if not text[start : match.end()].isspace():
            yield start, match.end()
        start = match.end()
    if start < end and not text[start:end].isspace():
        yield start, end


def _sizes(texts: list[str], count: TokenCounter) -> list[tuple[int, int, bool]]:
    """Words, tokens and has_unread_word of each text, as Piece has them."""
    words = [text.split() for text in texts]
    is_long = [len(text) > _MAX_CHARS or len(row) > PASSAGE_WORDS for text, row in zip(texts, words, strict=True)]
    tokens = iter(count([text for text, long in zip(texts, is_long, strict=True) if not long]))
    return [
        (len(row), 0, False) if long else (len(row), next(tokens), _has_unread_word(text, row))
        for text, row, long in zip(texts, words, is_long, strict=True)
    ]


def _has_unread_word(text: str, words: list[str]) -> bool:
    if max(map(len, words), default=0) <= MAX_WORD_CHARS:
        return False
    return any(len(word) > MAX_WORD_CHARS for word in _BERT_WORD.findall(text))
