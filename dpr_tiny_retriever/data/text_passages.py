"""Texts with headings -> titled passages of about a hundred words, none longer than the model reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from dpr_tiny_retriever.data.html_sections import html_sections
from dpr_tiny_retriever.data.text_cutting import Cutter, Limits, TokenCounter
from dpr_tiny_retriever.data.text_files import HTML_SUFFIXES, MARKUP_OF_SUFFIX, Text
from dpr_tiny_retriever.data.text_sections import Section, sections

_SEPARATOR = ": "


@dataclass(frozen=True)
class TextPassage:
    """A passage of a text, and the line of the text, from 1, on which it begins."""

    title: str
    text: str
    line: int


def split(text: Text, *, room: int, count: TokenCounter) -> Iterator[TextPassage]:
    """Split a text at its headings, and each section at its paragraphs into passages of up to about 100 words.

    A passage's title is the path of headings above it, "Product: Windows: Install", or the text's own title where there
    is none. Title and text together have at most room word pieces by count, so that a model reads them whole: a
    longer text is cut at the ends of sentences, lines or words, in this order, and anywhere where there are none. A
    title takes at most half the room, for which outer headings are left out, and a long heading is shortened. A heading
    that is thereby in no title, or has nothing below it, not even another heading, makes passages of its own.
    """
    parts = list(_sections(text))
    titles = _titles(parts, text.title, room // 2, count)
    cutters = [
        Cutter("\n".join(part.lines), Limits(max(1, room - title.tokens), count))
        for part, title in zip(parts, titles, strict=True)
    ]
    paragraphs = iter(Cutter.paragraphs_of(cutters))
    for row, (section, title, cutter) in enumerate(zip(parts, titles, cutters, strict=True)):
        pieces = next(paragraphs)
        if title.is_shortened and (section.headings or (row == 0 and pieces)):
            heading = Cutter(section.headings[-1] if section.headings else text.title, cutter.limits)
            yield from (TextPassage(title.text, part, section.heading_line) for _, part in heading.parts())
        elif section.headings and not pieces and not _is_in_next_title(parts, titles, row):
            yield TextPassage(title.text, section.headings[-1], section.heading_line)
        for line, part in cutter.parts(pieces):
            yield TextPassage(title.text, part, section.numbers[line])


class _Title(NamedTuple):
    text: str
    tokens: int
    headings: int
    """How many of the innermost headings it is made of."""
    is_shortened: bool
    """Whether the innermost heading is not whole."""


def _titles(parts: list[Section], name: str, room: int, count: TokenCounter) -> list[_Title]:
    """The title of each section: of its headings, from the innermost on, as many as fit into room."""
    different = list({name, *(heading for part in parts for heading in part.headings)})
    sizes = dict(zip(different, count(different), strict=True))
    separator = count([_SEPARATOR])[0]
    titles: dict[tuple[str, ...], _Title] = {}
    for part in parts:
        path = part.headings or (name,)
        if path in titles:
            continue
        tokens, kept = -separator, 0
        for heading in reversed(path):
            if tokens + separator + sizes[heading] > room:
                break
            tokens, kept = tokens + separator + sizes[heading], kept + 1
        if kept:
            titles[path] = _Title(_SEPARATOR.join(path[len(path) - kept :]), tokens, kept, False)
        else:
            beginning = Cutter(path[-1], Limits(room, count)).beginning()
            titles[path] = _Title(beginning, count([beginning])[0], 1, True)
    return [titles[part.headings or (name,)] for part in parts]


def _is_in_next_title(parts: list[Section], titles: list[_Title], row: int) -> bool:
    """Whether the last heading of a section is in the title of the next one, which is below it."""
    depth = len(parts[row].headings)
    if row + 1 == len(parts) or parts[row + 1].headings[:depth] != parts[row].headings:
        return False
    return titles[row + 1].headings > len(parts[row + 1].headings) - depth


def _sections(text: Text) -> Iterator[Section]:
    suffix = PurePath(text.source).suffix.lower()
    if suffix in HTML_SUFFIXES:
        return html_sections(text.content)
    return sections(text.content, MARKUP_OF_SUFFIX.get(suffix, "plain"))
