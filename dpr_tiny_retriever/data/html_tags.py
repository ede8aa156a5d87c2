"""HTML -> its tags and texts, in time that grows with its length however broken it is.

The standard library's parser needs minutes for a megabyte of unclosed tags before Python 3.13.6.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

_MARKUP = re.compile(r"<(?=/?[a-zA-Z]|[!?])")
_TAG = re.compile(r"<(?P<slash>/?)(?P<name>[a-zA-Z][^\s/<>]*)")
#: What can end a tag, or begin a quoted value in which ">" ends none.
_TAG_END = re.compile(r">|=\s*[\"']")
#: No character has so large a number; Python refuses to read some that are larger still.
_LARGE_NUMBER = re.compile(r"&(?=#[xX]?[0-9a-fA-F]{9})")
_SOFT_HYPHEN = "\xad"

Kind: TypeAlias = Literal["text", "start", "end"]


class Event(NamedTuple):
    """A text, or the start or end of an element, and the line, from 1, on which it begins.

    The value is the text with its entities decoded, or the element's name in lower case.
    """

    kind: Kind
    value: str
    line: int


def html_events(page: str, *, without: frozenset[str]) -> Iterator[Event]:
    """Yield the texts and tags of a page, without comments and without elements of these names."""
    scanner = _Scanner(page)
    line, counted, start, at = 1, 0, 0, 0

    def event(kind: Kind, value: str, begin: int) -> Event:
        nonlocal line, counted
        line += page.count("\n", counted, begin)
        counted = begin
        return Event(kind, value, line)

    while markup := _MARKUP.search(page, at):
        at = markup.start()
        tag = _TAG.match(page, at)
        end = scanner.tag_end(tag.end()) if tag else scanner.comment_end(at)
        if end < 0:
            if scanner.has_no_more_tags:
                break
            at += 1  # no markup, but a text that holds "<"
            continue
        if start < at:
            yield event("text", _decoded(page[start:at]), start)
        if tag is not None:
            name = tag["name"].lower()
            yield event("end" if tag["slash"] else "start", name, at)
            if name in without and not tag["slash"] and page[end - 2] != "/":  # XHTML closes an element within its tag
                end = max(end, scanner.element_end(name, end))
        start = at = end
    if start < len(page):
        yield event("text", _decoded(page[start:]), start)


class _Scanner:
    """Finds where markup ends; what was once not found up to the end of the page is not looked for again."""

    def __init__(self, page: str) -> None:
        self._page = page
        self._absent = set[str]()
        self._trusts_quotes = True

    @property
    def has_no_more_tags(self) -> bool:
        """Whether nothing ends a tag any more, as has been found out before."""
        return ">" in self._absent

    def tag_end(self, at: int) -> int:
        """Behind the ">" of a tag, -1 where there is none."""
        plain = self._find(">", at)
        if plain < 0 or not self._trusts_quotes:
            return plain
        while match := _TAG_END.search(self._page, at):
            if match[0] == ">":
                return match.end()
            closing = self._find(match[0][-1], match.end())
            at = match.end() if closing < 0 else closing
        self._trusts_quotes = False  # a quotation mark is missing
        return plain

    def comment_end(self, at: int) -> int:
        """Behind a comment, declaration or instruction that begins here, -1 where there is none."""
        if self._page.startswith("<!--", at):
            return self._find("-->", at + 4)
        if self._page.startswith("<![CDATA[", at):
            return at + len("<![CDATA[")  # what it holds is text
        return self._find(">", at) if self._page.startswith(("<!", "<?"), at) else -1

    def element_end(self, name: str, at: int) -> int:
        """Before the end tag of an element, -1 where it is never closed."""
        if name not in self._absent:
            if match := re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(self._page, at):
                return match.start()
            self._absent.add(name)
        return -1

    def _find(self, mark: str, at: int) -> int:
        if mark not in self._absent:
            if (found := self._page.find(mark, at)) >= 0:
                return found + len(mark)
            self._absent.add(mark)
        return -1


def _decoded(text: str) -> str:
    if "&" in text:
        text = html.unescape(_LARGE_NUMBER.sub("&amp;", text))
    return text.replace(_SOFT_HYPHEN, "")
