"""Markdown and plain text -> sections: the headings above a piece of text, and its lines."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

BYTE_ORDER_MARK = "\ufeff"
#: The height of a heading with a line above it too.
_OVERLINED = 3

#: How a text marks its headings.
Markup: TypeAlias = Literal["markdown", "plain", "restructuredtext"]

#: A fence may stand behind the marker of a list item.
_FENCE = re.compile(r"(?P<indent> {0,3}(?:(?:[-*+]|\d{1,9}[.)]) {1,4})*)(?P<fence>`{3,}|~{3,})(?P<info>.*)")
_CLOSING_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*$")
#: HTML in which CommonMark reads no Markdown, up to the line that ends it.
_HTML_BLOCK = re.compile(r" {0,3}<(?:(?P<comment>!--)|(?P<name>pre|script|style|textarea)(?=[\s>]|$))", re.IGNORECASE)
_HASH_HEADING = re.compile(r" {0,3}(?P<hashes>#{1,6})(?=[ \t]|$)")
_BULLET_OR_QUOTE = re.compile(r"\s*[-*+>](\s|$)")
_NUMBERED_ITEM = re.compile(r"\s*\d{1,9}[.)](\s|$)")
#: Markdown underlines with these; the first is the higher level.
_MARKDOWN_UNDERLINES = "=-"
#: reStructuredText underlines, and overlines, with these too, as far as the title is long; levels are in the order of
#: their first use.
_UNDERLINES = {"markdown": _MARKDOWN_UNDERLINES, "plain": "=-~^\"'*+#", "restructuredtext": string.punctuation}
_SHORTEST_UNDERLINE = {"markdown": 3, "plain": 3, "restructuredtext": 2}
_FRONT_MATTER_KEY = re.compile(r"(?P<key>[\w\"'][^:#]*):(?:\s+(?P<value>.*)|)$")
_FRONT_MATTER_OTHER = re.compile(r"\s|#|-\s|[\]})]|$")


class Section(NamedTuple):
    """The headings above a section, the outermost first, and the lines below the last of them.

    numbers are those of the lines in the text, from 1; heading_line is that of the last heading.
    """

    headings: tuple[str, ...]
    lines: list[str]
    numbers: Sequence[int]
    heading_line: int


class HeadingPath(NamedTuple):
    """The headings above a place, the outermost first, with their levels; the title of all is of level 0."""

    headings: tuple[tuple[int, str], ...] = ()

    def with_heading(self, level: int, text: str) -> HeadingPath:
        """The path below one more heading, which does not repeat the title of all."""
        above = tuple(heading for heading in self.headings if heading[0] < level)
        return HeadingPath(above if (0, text) in above else (*above, (level, text)))

    @property
    def texts(self) -> tuple[str, ...]:
        """The headings alone."""
        return tuple(text for _, text in self.headings)


class _Heading(NamedTuple):
    level: int
    text: str
    height: int
    """Lines that it takes up: two where it is underlined, three where it is overlined too."""


class _Fence(NamedTuple):
    """What opened a region in which nothing is a heading, and how far it is indented; or what closes it, of HTML."""

    marks: str
    indent: int
    is_html: bool = False


def sections(content: str, markup: Markup) -> Iterator[Section]:
    """Yield the sections of a text in their order, that before the first heading too, and those without a line.

    Headings begin with # or are underlined, as CommonMark has them, in a plain text also as reStructuredText has them,
    or in the latter way alone. Within a fence nothing is a heading. The title in YAML front matter is the outermost
    heading of all.
    """
    rows = content.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    title, row = ("", 0) if markup == "restructuredtext" else _front_matter(rows)
    path = HeadingPath(((0, title),) if title else ())
    begin, heading_line = row, 1
    levels: dict[str, int] = {}
    fence: _Fence | None = None
    while row < len(rows):
        heading = _heading_at(rows, row, levels, markup) if fence is None and rows[row] else None
        if heading is None:
            fence = None if markup == "restructuredtext" else _fence_after(rows[row], fence)
            row += 1
            continue
        yield Section(path.texts, rows[begin:row], range(begin + 1, row + 1), heading_line)
        path = path.with_heading(heading.level, heading.text)
        heading_line = row + 1 + (heading.height == _OVERLINED)
        row += heading.height
        begin = row
    yield Section(path.texts, rows[begin:row], range(begin + 1, row + 1), heading_line)


def _front_matter(rows: list[str]) -> tuple[str, int]:
    """The title that YAML front matter states, if any, and the row behind it."""
    if rows[0].rstrip() != "---":
        return "", 0
    title, folded = "", False
    for row, line in enumerate(rows[1:], 1):
        if line.rstrip() in ("---", "..."):
            return title, row + 1
        key = _FRONT_MATTER_KEY.match(line)
        if key is None and not _FRONT_MATTER_OTHER.match(line):
            break  # a text between two rules
        if folded and (line.startswith((" ", "\t")) or not line):
            title = "" if line.lstrip().startswith("- ") else f"{title} {line.strip()}".strip()
            continue
        folded = False
        if key is not None and not title and key["key"].strip("\"' ").lower() == "title":
            title = _yaml_text(key["value"] or "")
            folded = not title or re.fullmatch(r"[|>][-+\d]*", title) is not None
            title = "" if folded else title
    return "", 0


def _yaml_text(value: str) -> str:
    """A value on one line without its quotes or comment."""
    value = value.strip()
    if value[:1] in ("'", '"') and value.rfind(value[0]) > 0:
        return value[1 : value.rfind(value[0])].replace(2 * value[0], value[0]).strip()
    return re.split(r"\s#", value, maxsplit=1)[0].strip()


def _fence_after(line: str, fence: _Fence | None) -> _Fence | None:
    """The fence that is open behind a line, None for none; it is closed by at least as many of the same."""
    if fence is not None and fence.is_html:
        return None if fence.marks in line.lower() else fence
    if fence is not None:
        match = _CLOSING_FENCE.match(line)
        closes = match is not None and match["fence"].startswith(fence.marks)
        return None if match is not None and closes and len(match["indent"]) <= fence.indent + 3 else fence
    if block := _HTML_BLOCK.match(line):
        end = "-->" if block["comment"] else f"</{block['name'].lower()}>"
        return None if end in line.lower() else _Fence(end, 0, is_html=True)
    match = _FENCE.match(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return None
    return _Fence(match["fence"], len(match["indent"]))


def _heading_at(rows: list[str], row: int, levels: dict[str, int], markup: Markup) -> _Heading | None:
    if markup != "restructuredtext" and (match := _HASH_HEADING.match(rows[row])):
        text = rows[row][match.end() :].strip()
        closed = text.rstrip("#")
        text = closed.rstrip() if closed[-1:] in ("", " ", "\t") else text  # "C#" ends in no closing sequence
        return _Heading(len(match["hashes"]), text, 1) if text else None
    below = _underline(rows, row + 1, markup)
    if below and _may_be_underlined(rows, row, markup):
        is_long = _covers(rows[row + 1], rows[row])
        if is_long or (below in _MARKDOWN_UNDERLINES and len(rows[row + 1].rstrip()) >= _SHORTEST_UNDERLINE["plain"]):
            return _Heading(_level(below, levels, markup), rows[row].strip(), 2)
    overline = "" if markup == "markdown" or _FENCE.match(rows[row]) else _underline(rows, row, markup)
    if overline and _underline(rows, row + 2, markup) == overline and _covers(rows[row], rows[row + 1]):
        title = rows[row + 1].strip()
        if title and not _underline(rows, row + 1, markup):
            return _Heading(_level(2 * overline, levels, markup), title, _OVERLINED)
    return None


def _covers(line: str, title: str) -> bool:
    return len(line.rstrip()) >= len(title.rstrip())


def _underline(rows: list[str], row: int, markup: Markup) -> str:
    """The character that a row repeats and nothing else, if it can underline a heading."""
    line = rows[row].rstrip() if row < len(rows) else ""
    character = line[:1]
    whole = len(line) >= _SHORTEST_UNDERLINE[markup] and character in _UNDERLINES[markup]
    return character if whole and line.strip(character) == "" else ""


def _may_be_underlined(rows: list[str], row: int, markup: Markup) -> bool:
    """Whether a row is a line of its own, not the end of a paragraph, a list item, a quotation or code."""
    line = rows[row]
    above = rows[row - 1] if row else ""
    is_restructured = markup == "restructuredtext"
    alone = not above.strip() or (above.startswith(".. ") if is_restructured else bool(_HASH_HEADING.match(above)))
    words = any(character.isalnum() for character in line)
    item = _BULLET_OR_QUOTE.match(line) or (line.startswith(".. ") if is_restructured else _NUMBERED_ITEM.match(line))
    return alone and words and not line.startswith((" ", "\t")) and not item


def _level(style: str, levels: dict[str, int], markup: Markup) -> int:
    if markup == "markdown":
        return _MARKDOWN_UNDERLINES.index(style) + 1
    return levels.setdefault(style, len(levels) + 1)
