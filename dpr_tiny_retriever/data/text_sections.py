"""Markdown and plain text -> sections: the headings above a piece of text, and its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<info>.*)")
_HASH_HEADING = re.compile(r" {0,3}(?P<hashes>#{1,6})(?=[ \t]|$)")
_LIST_ITEM_OR_QUOTE = re.compile(r"\s*([-*+>]|\d{1,9}[.)])(\s|$)")
#: Markdown underlines with these; the first is the higher level.
_MARKDOWN_UNDERLINES = "=-"
#: reStructuredText underlines, and overlines, with these too, as far as the title is long; levels are in the order of
#: their first use.
_UNDERLINES = "=-~^\"'*+#"
_SHORTEST_UNDERLINE = 3
_FRONT_MATTER_TITLE = re.compile(r"title:\s+(?P<title>.*)")


class Section(NamedTuple):
    """The headings above a section, the outermost first, and the lines below the last of them."""

    headings: tuple[str, ...]
    lines: list[str]


class _Heading(NamedTuple):
    level: int
    text: str
    height: int
    """Lines that it takes up: two where it is underlined, three where it is overlined too."""


def sections(content: str, *, markdown: bool) -> Iterator[Section]:
    """Yield the sections of a text in their order, that before the first heading too, and those without a line.

    Headings begin with # or are underlined, as CommonMark and (unless markdown is True) reStructuredText have them.
    Within a fence nothing is a heading. The title in YAML front matter is the outermost heading of all.
    """
    rows = content.splitlines()
    title, row = _front_matter(rows)
    root = [(0, title)] if title else []
    path, lines = root, list[str]()
    levels: dict[str, int] = {}
    fence = ""
    while row < len(rows):
        heading = None if fence else _heading_at(rows, row, levels, markdown)
        if heading is None:
            fence = _fence_after(rows[row], fence)
            lines.append(rows[row])
            row += 1
            continue
        yield Section(tuple(text for _, text in path), lines)
        above = [(level, text) for level, text in path if level < heading.level]
        path, lines = ([*above, (heading.level, heading.text)] if (0, heading.text) not in above else above), []
        row += heading.height
    yield Section(tuple(text for _, text in path), lines)


def _front_matter(rows: list[str]) -> tuple[str, int]:
    """The title that YAML front matter states, if any, and the row behind it."""
    if not rows or rows[0].rstrip() != "---":
        return "", 0
    for row, line in enumerate(rows[1:], 1):
        if line.rstrip() in ("---", "..."):
            stated = [match["title"] for match in map(_FRONT_MATTER_TITLE.match, rows[1:row]) if match]
            return (stated[0].strip().strip("\"'").strip() if stated else ""), row + 1
    return "", 0


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open behind a line, "" for none; it is closed by at least as many of the same."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        return "" if match["fence"][0] == "`" and "`" in match["info"] else match["fence"]
    return "" if match["fence"].startswith(fence) and not match["info"].strip() else fence


def _heading_at(rows: list[str], row: int, levels: dict[str, int], markdown: bool) -> _Heading | None:
    if match := _HASH_HEADING.match(rows[row]):
        text = rows[row][match.end() :].strip()
        closed = text.rstrip("#")
        text = closed.rstrip() if closed[-1:] in ("", " ", "\t") else text  # "C#" ends in no closing sequence
        return _Heading(len(match["hashes"]), text, 1) if text else None
    below = _underline(rows, row + 1, markdown)
    if below and _may_be_underlined(rows, row) and (below in _MARKDOWN_UNDERLINES or _covers(rows[row + 1], rows[row])):
        return _Heading(_level(below, levels, markdown), rows[row].strip(), 2)
    overline = "" if markdown or _FENCE.match(rows[row]) else _underline(rows, row, markdown)
    if overline and _underline(rows, row + 2, markdown) == overline and _covers(rows[row], rows[row + 1]):
        title = rows[row + 1].strip()
        if title and not _underline(rows, row + 1, markdown):
            return _Heading(_level(2 * overline, levels, markdown), title, 3)
    return None


def _covers(line: str, title: str) -> bool:
    return len(line.rstrip()) >= len(title.rstrip())


def _underline(rows: list[str], row: int, markdown: bool) -> str:
    """The character that a row repeats and nothing else, if it can underline a heading."""
    line = rows[row].rstrip() if row < len(rows) else ""
    allowed = _MARKDOWN_UNDERLINES if markdown else _UNDERLINES
    character = line[:1]
    whole = len(line) >= _SHORTEST_UNDERLINE and character in allowed and line.strip(character) == ""
    return character if whole else ""


def _may_be_underlined(rows: list[str], row: int) -> bool:
    """Whether a row is a line of its own, not the end of a paragraph, a list item, a quotation or code."""
    line = rows[row]
    alone = row == 0 or not rows[row - 1].strip() or _HASH_HEADING.match(rows[row - 1]) is not None
    words = any(character.isalnum() for character in line)
    return alone and words and not line.startswith((" ", "\t")) and not _LIST_ITEM_OR_QUOTE.match(line)


def _level(style: str, levels: dict[str, int], markdown: bool) -> int:
    if markdown:
        return _MARKDOWN_UNDERLINES.index(style) + 1
    return levels.setdefault(style, len(levels) + 1)
