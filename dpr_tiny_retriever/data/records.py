"""Records of data files, plain or compressed, each with its file and line. Nothing is read whole."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from dpr_tiny_retriever.data.data_files import (
    LONGEST_LINE,
    DataError,
    Place,
    described_errors,
    not_utf8,
    open_data_file,
    read_ahead,
)
from dpr_tiny_retriever.passage import refuse_surrogates

Record: TypeAlias = dict[str, Any]

_CHUNK = 1 << 20  # bytes
_SPACES = " \t\r\n"
_SPACE = re.compile(rf"[{_SPACES}]*")
#: Where JSON breaks off within this many characters of the end of what was read, it may only be cut short.
_LONGEST_TOKEN = 16


@dataclass
class Skip:
    """How many records are still to be passed over: readers of several files count it down one after another."""

    left: int = 0


def read_records(path: Path, on_error: Callable[[DataError], None] | None = None) -> Iterator[tuple[Place, Record]]:
    """Yield the objects of a JSON array or of JSON lines, one at a time; any size takes a few megabytes.

    Raises DataError with the line of broken JSON, of something else than an object, or of a line of more than
    LONGEST_LINE bytes. With on_error, such a line or object is skipped, and its error handed to on_error; an array
    whose JSON breaks off is always an error.
    """
    with open_data_file(path) as file:
        for line, record in records_or_errors(file, path):
            if not isinstance(record, DataError):
                yield Place(path, line), record
            elif on_error is None:
                raise record
            else:
                on_error(record)


def read_lines(path: Path, on_error: Callable[[DataError], None] | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, from 1.

    A line that is not UTF-8, or has more than LONGEST_LINE bytes, raises DataError or, with on_error, is skipped and
    its error handed to on_error.
    """
    with open_data_file(path) as file:
        for number, text in lines_or_errors(file, path):
            if not isinstance(text, DataError):
                yield number, text
            elif on_error is None:
                raise text
            else:
                on_error(text)


def records_or_errors(file: BinaryIO, path: Path, skip: Skip | None = None) -> Iterator[tuple[int, Record | DataError]]:
    """Yield (line number, object), lines counted from 1; a value that is not an object yields a DataError.

    JSON lines are passed over unread while there are some to skip; objects of an array are not. Raises DataError, at
    path, where an array's JSON breaks off or the file is damaged.
    """
    with described_errors(path, [1]):
        head, file = read_ahead(file, _without_space)
    is_array = _without_space(head).startswith(b"[")
    items = _array_items(file, path) if is_array else _line_items(file, path, skip or Skip())
    for line, item in items:
        if isinstance(item, (dict, DataError)):
            yield line, item
        else:
            yield line, DataError(Place(path, line), f"found {shown_value(item)}; expected a JSON object")


def lines_or_errors(file: BinaryIO, path: Path) -> Iterator[tuple[int, str | DataError]]:
    """Yield (line number, line), counted from 1; a line that cannot be decoded yields its DataError.

    Raises DataError, at path, where the file is damaged.
    """
    for number, raw in _raw_lines(file, path):
        try:
            yield number, raw if isinstance(raw, DataError) else raw.decode()
        except UnicodeDecodeError as error:
            yield number, not_utf8(Place(path, number), error)


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
        raise DataError(place, f"{names[0]} is {shown_value(value)}; expected a text")
    if not value.strip():
        raise DataError(place, f"{names[0]} is empty; expected a text")
    try:
        refuse_surrogates(value, names[0])
    except ValueError as error:
        raise DataError(place, str(error)) from None
    return value


def shown_value(value: object) -> str:
    """A value as messages show it, as JSON of at most some 40 characters."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 40 else shown[:40] + "..."


def _without_space(head: bytes) -> bytes:
    return head.removeprefix(codecs.BOM_UTF8).lstrip()


def _raw_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes | DataError]]:
    line = [1]
    with described_errors(path, line):
        for number, raw in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), start=1):
            line[0] = number
            if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
                while part := file.readline(_CHUNK):
                    if part.endswith(b"\n"):
                        break
                problem = f"a line of more than {LONGEST_LINE >> 20} MiB; expected shorter ones, with one record each"
                yield number, DataError(Place(path, number), problem)
            else:
                yield number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw


def _line_items(file: BinaryIO, path: Path, skip: Skip) -> Iterator[tuple[int, object]]:
    """The values of JSON lines; empty lines are none, so that those skipped need not be decoded."""
    scan = json.JSONDecoder().raw_decode  # without what json.loads does beside it
    for number, raw in _raw_lines(file, path):
        if isinstance(raw, bytes) and not raw.strip():
            continue
        if skip.left:
            skip.left -= 1
            continue
        if isinstance(raw, DataError):
            yield number, raw
            continue
        try:
            text = raw.decode().strip(_SPACES)
            item, end = scan(text)
            if end != len(text):
                json.loads(text)  # says what is wrong
        except UnicodeDecodeError as error:
            item = not_utf8(Place(path, number), error)
        except (ValueError, RecursionError) as error:
            item = DataError(Place(path, number), f"broken JSON ({error}); expected one object a line")
        yield number, item


def _array_items(file: BinaryIO, path: Path) -> Iterator[tuple[int, object]]:
    window = _Window(file, path)
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

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self.line = 1
        self._file = file
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

    def value(self) -> tuple[int, object]:
        """Step over the next value."""
        self.peek()
        first_line = self.line
        while True:
            try:
                item, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST_TOKEN
                if cut and len(self._text) - self._at > LONGEST_LINE:
                    problem = f"an object of more than {LONGEST_LINE >> 20} MiB; expected shorter ones"
                    raise DataError(Place(self.path, first_line), problem) from error
                if cut and self._more():
                    continue
                line = self.line + self._text.count("\n", self._at, error.pos)
                raise DataError(
                    Place(self.path, line), f"broken JSON: {error.msg.lower()}; expected an object"
                ) from error
            except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
                problem = f"broken JSON ({error}); expected an object"
                raise DataError(Place(self.path, first_line), problem) from error
            self._advance(end)
            return first_line, item

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
        with described_errors(self.path, line):
            decoder = codecs.getincrementaldecoder("utf-8-sig")()
            while chunk := cast("io.BufferedIOBase", self._file).read1(_CHUNK):
                text = decoder.decode(chunk)
                line[0] += text.count("\n")
                if text:  # not so where the chunk holds only a part of one character
                    yield text
            decoder.decode(b"", final=True)
