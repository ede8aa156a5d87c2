"""Records of data files, plain or gzip'd, each with its file and line. Nothing is read whole."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, cast

from dpr_tiny_retriever.passage import refuse_surrogates

Record: TypeAlias = dict[str, Any]

_CHUNK = 1 << 20  # bytes
_SPACE = re.compile(r"[ \t\r\n]*")
#: Where JSON breaks off within this many characters of the end of what was read, it may only be cut short.
_LONGEST_TOKEN = 16


class Place(NamedTuple):
    """Where a record begins: a file and a line, counted from 1."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class DataError(ValueError):
    """Data that cannot be used; the message begins with the file and line."""

    def __init__(self, where: Place | Path, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


class MisreadDataError(DataError):
    """Data of which other records than one would be lost or misread: never skipped."""


def read_records(path: Path, on_error: Callable[[DataError], None] | None = None) -> Iterator[tuple[Place, Record]]:
    """Yield the objects of a JSON array or of JSON lines, one at a time; any size takes a few megabytes.

    Raises DataError with the line of broken JSON, or of something else than an object. With on_error, such a line or
    object is skipped, and its error handed to on_error; an array whose JSON breaks off is always an error.
    """
    items = _array_items(path) if _first_character(path) == "[" else _line_items(path, on_error)
    for place, item in items:
        if isinstance(item, dict):
            yield place, item
            continue
        error = DataError(place, f"found {_shown(item)}; expected a JSON object")
        if on_error is None:
            raise error
        on_error(error)


def read_lines(path: Path, on_error: Callable[[DataError], None] | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, from 1.

    A line that is not UTF-8 raises DataError or, with on_error, is skipped and its error handed to on_error.
    """
    line = [1]
    with _readable(path, line), _opened(path) as file:
        for number, raw in enumerate(file, start=1):
            line[0] = number
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                if on_error is None:
                    raise
                on_error(_not_utf8(Place(path, number), error))
            else:
                yield number, text


def field(record: Mapping[str, Any], names: Sequence[str], place: Place) -> Any:
    """The field of a record that goes by the first of these names; raises DataError where none is there."""
    for name in names:
        if name in record:
            return record[name]
    found = ", ".join(record) or "nothing"
    raise DataError(place, f"found the keys {found}; expected {' or '.join(names)}")


def text_field(record: Mapping[str, Any], names: Sequence[str], place: Place) -> str:
    """As field, for a text; raises DataError where it is no valid text or is empty."""
    value = field(record, names, place)
    if not isinstance(value, str):
        raise DataError(place, f"{names[0]} is {_shown(value)}; expected a text")
    if not value.strip():
        raise DataError(place, f"{names[0]} is empty; expected a text")
    try:
        refuse_surrogates(value, names[0])
    except ValueError as error:
        raise DataError(place, str(error)) from None
    return value


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file")
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; expected a data file there, plain or .gz")
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=plain)) if zipped else plain


@contextmanager
def _readable(path: Path, line: list[int]) -> Iterator[None]:
    """Give the errors of decompression and decoding their file and line."""
    try:
        yield
    except UnicodeDecodeError as error:
        at = Place(path, line[0] + error.object[: error.start].count(b"\n"))
        raise _not_utf8(at, error) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(Place(path, line[0]), f"the gzip'd file is damaged ({error}); copy it again") from error


def _not_utf8(place: Place, error: UnicodeDecodeError) -> DataError:
    return DataError(place, f"byte 0x{error.object[error.start]:02x} is not UTF-8; expected UTF-8 text")


def _first_character(path: Path) -> str:
    with _readable(path, [1]), _opened(path) as file:
        return file.read(_CHUNK).decode("utf-8-sig", "replace").lstrip()[:1]


def _line_items(path: Path, on_error: Callable[[DataError], None] | None) -> Iterator[tuple[Place, object]]:
    for number, text in read_lines(path, on_error):
        if text.strip():
            try:
                item = json.loads(text)
            except (ValueError, RecursionError) as error:
                problem = DataError(Place(path, number), f"broken JSON ({error}); expected one object a line")
                if on_error is None:
                    raise problem from error
                on_error(problem)
                continue
            yield Place(path, number), item


def _array_items(path: Path) -> Iterator[tuple[Place, object]]:
    window = _Window(path)
    window.take("[")
    if window.peek() != "]":
        yield window.value()
        while window.peek() == ",":
            window.take(",")
            yield window.value()
    window.take("]")
    if window.peek():
        raise DataError(Place(path, window.line), "found more text behind the end of the array; expected nothing")


class _Window:
    """A window that moves over a JSON text and knows the line it is at.

    The standard library's scanner says where it stopped, so that every record and every error has its line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        self._chunks = self._decoded()
        self._text = ""
        self._at = 0
        self._scan = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            self._advance(cast("re.Match[str]", _SPACE.match(self._text, self._at)).end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Step over this character; raises DataError where another stands."""
        found = self.peek()
        if found != character:
            shown = repr(found) if found else "the end of the file"
            raise DataError(Place(self.path, self.line), f"broken JSON: found {shown}; expected {character!r}")
        self._advance(self._at + 1)

    def value(self) -> tuple[Place, object]:
        """Step over the next value."""
        self.peek()
        place = Place(self.path, self.line)
        while True:
            try:
                item, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST_TOKEN
                if cut and self._more():
                    continue
                line = self.line + self._text.count("\n", self._at, error.pos)
                raise DataError(
                    Place(self.path, line), f"broken JSON: {error.msg.lower()}; expected an object"
                ) from error
            self._advance(end)
            return place, item

    def _advance(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        chunk = next(self._chunks, "")
        if chunk:
            self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)

    def _decoded(self) -> Iterator[str]:
        line = [1]
        with _readable(self.path, line), _opened(self.path) as file:
            decoder = codecs.getincrementaldecoder("utf-8-sig")()
            while chunk := file.read(_CHUNK):
                text = decoder.decode(chunk)
                line[0] += text.count("\n")
                if text:  # not so where the chunk holds only a part of one character
                    yield text
            decoder.decode(b"", final=True)


def _shown(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 40 else shown[:40] + "..."
