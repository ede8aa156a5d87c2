"""HTML -> sections: the headings above a piece of text, and its lines."""

from __future__ import annotations

from collections.abc import Iterator

from dpr_tiny_retriever.data.html_tags import Event, html_events
from dpr_tiny_retriever.data.text_sections import BYTE_ORDER_MARK, HeadingPath, Section

_LEFT_OUT = frozenset({"script", "style", "nav", "template", "svg"})
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_PARAGRAPHS = frozenset(
    "address article aside blockquote body details dialog div dl fieldset figure footer form header hr main menu ol p "
    "pre section table tbody tfoot thead ul".split()
)
_LINES = frozenset("br caption dd dt figcaption legend li option summary tr".split())
_CELLS = frozenset({"td", "th"})
_BETWEEN_CELLS = " | "


def html_sections(content: str) -> Iterator[Section]:
    """Yield the sections of a page in their order, that before the first heading too, and those without a line.

    Headings are h1 to h6, below the page's title. Elements that are blocks make paragraphs, list items and rows of
    tables make lines, pre keeps its blanks; scripts, styles and navigation are left out.
    """
    page = _Page()
    text = content.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n")
    for event in html_events(text, without=_LEFT_OUT):
        if event.kind == "text":
            page.add_text(event.value, event.line)
        else:
            yield from page.add_tag(event)
    yield from page.finished()


class _Page:
    def __init__(self) -> None:
        self._path = HeadingPath()
        self._lines: list[str] = []
        self._numbers: list[int] = []
        self._heading_line = 1
        #: The texts of the line that is being made, and the number of the first that is not blank.
        self._line: list[str] = []
        self._number = 0
        #: The heading that is being read: its level (0 is the page's title), its line and its texts.
        self._heading: tuple[int, int, list[str]] | None = None
        self._is_row = self._is_pre = False

    def add_text(self, text: str, number: int) -> None:
        """Add a text that begins on this line of the page."""
        if self._heading is not None:
            self._heading[2].append(text)
        elif self._is_row:
            blank_lines = text[: len(text) - len(text.lstrip())].count("\n")
            self._add(text.replace("\n", " "), number + blank_lines)
        else:
            for row, line in enumerate(text.split("\n"), number):
                if row > number:
                    self._end_line()
                self._add(line, row)

    def add_tag(self, tag: Event) -> Iterator[Section]:
        """Take a tag into account; yield the section that a heading ends."""
        name, starts = tag.value, tag.kind == "start"
        if name in _LEVELS or name == "title":
            yield from self._end_heading()
            self._end_line()
            self._is_row = False
            if starts:
                self._heading = _LEVELS.get(name, 0), tag.line, []
            return
        if self._heading is not None and name in _PARAGRAPHS | _LINES:
            self._heading[2].append(" ")
            if name in _PARAGRAPHS and any(not text.isspace() for text in self._heading[2]):
                yield from self._end_heading()  # it was never closed
        if name in _PARAGRAPHS | _LINES:
            self._end_line()
            self._is_row = starts if name == "tr" else self._is_row and name != "table"
        if name in _PARAGRAPHS and self._lines[-1:] not in ([], [""]):
            self._append("", tag.line)
        if name == "pre":
            self._is_pre = starts
        if name in _CELLS and starts and self._number:
            self._line.append(_BETWEEN_CELLS)

    def finished(self) -> Iterator[Section]:
        """The last section, and before it the one above a heading that was never closed."""
        yield from self._end_heading()
        self._end_line()
        yield self._section()

    def _add(self, text: str, number: int) -> None:
        if not self._number and text and not text.isspace():
            self._number = number
        self._line.append(text)

    def _end_line(self) -> None:
        if self._number:
            line = "".join(self._line)
            self._append(line.rstrip() if self._is_pre else " ".join(line.split()), self._number)
        self._line, self._number = [], 0

    def _append(self, line: str, number: int) -> None:
        self._lines.append(line)
        self._numbers.append(number)

    def _end_heading(self) -> Iterator[Section]:
        if self._heading is None:
            return
        level, line, texts = self._heading
        self._heading = None
        if text := " ".join("".join(texts).split()):
            yield self._section()
            self._path = self._path.with_heading(level, text)
            self._heading_line, self._lines, self._numbers = line, [], []

    def _section(self) -> Section:
        return Section(self._path.texts, self._lines, self._numbers, self._heading_line)
