"""Tab-separated files as DPR and BEIR publish them: rows are streamed, fields may have any size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from dpr_tiny_retriever.data.data_files import LONGEST_LINE, DataError, MisreadDataError, Place, open_data_file
from dpr_tiny_retriever.data.records import lines_or_errors

#: A quoted field, quotation marks in it doubled, up to a tab or the end of the row.
_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"(?=\t|\Z)')
_PLAIN = re.compile(r"[^\t]*")
#: The same without its end: what a field is that goes on in the next line.
_OPEN = re.compile(r'"[^"]*(?:""[^"]*)*\Z')
_EXPECTED = "expected no field to begin with a quotation mark, or such a field to end with one and to double others"


def read_rows(
    path: Path, fields: int, on_error: Callable[[DataError], None] | None = None
) -> Iterator[tuple[Place, list[str]]]:
    """Yield the rows of a file that has this many fields in a row; a quoted field may hold tabs and line breaks.

    A row that is not UTF-8, or whose quotation marks are wrong, raises DataError or, with on_error, is skipped and its
    error handed to on_error. A quoted field in which whole rows stand is always an error: they would be lost.
    """
    with open_data_file(path) as file:
        for number, row in rows_or_errors(file, path, fields):
            if not isinstance(row, DataError):
                yield Place(path, number), row
            elif on_error is None:
                raise row
            else:
                on_error(row)


def rows_or_errors(file: BinaryIO, path: Path, fields: int) -> Iterator[tuple[int, list[str] | DataError]]:
    """Yield (first line number, row) as read_rows does; a malformed row yields its DataError.

    Raises MisreadDataError, at path, for a quoted field in which whole rows stand or that is longer than LONGEST_LINE.
    """
    held: list[str] = []  # the lines of a row whose last field goes on
    held_size = 0
    place = Place(path, 1)
    for number, text in lines_or_errors(file, path):
        if isinstance(text, DataError):
            yield number, text
            continue
        line = text.rstrip("\r\n")
        if not held:
            if not line:
                continue
            if '"' not in line:
                yield number, line.split("\t")
                continue
            if row := _split(line):
                yield number, row
                continue
            place, held_size = Place(path, number), 0
        held.append(line)
        held_size += len(line) + 1
        row = None if len(held) > 1 and '"' not in line else _split("\n".join(held))
        if row is None:  # it goes on in the next line
            if len(held) > 1 and (line.count("\t") == fields - 1 or held_size > LONGEST_LINE):
                raise _rows_in_a_field(place)
            continue
        if len(held) > 1 and (not row or _may_be_rows(held[0], held[-1], fields)):
            raise _rows_in_a_field(place)
        held = []
        yield place.line, row or DataError(place, f"found text behind a quoted field; {_EXPECTED}")
    if len(held) > 1:
        raise _rows_in_a_field(place)
    if held:
        yield place.line, DataError(place, f"found a quoted field that never ends; {_EXPECTED}")


def _split(row: str) -> list[str] | None:
    """The fields of a row: None where the last one has not ended, [] where text stands behind a quoted one."""
    fields, at = list[str](), 0
    while True:
        is_quoted = row.startswith('"', at)
        match = (_QUOTED if is_quoted else _PLAIN).match(row, at)
        if match is None:
            return None if _OPEN.match(row, at) else []
        field = match[is_quoted]
        fields.append(field.replace('""', '"') if is_quoted and '"' in field else field)
        if match.end() == len(row):
            return fields
        at = match.end() + 1


def _may_be_rows(first: str, last: str, fields: int) -> bool:
    """Whether the first and last line of a row would each be a row, but for a field that joins them."""
    joins_tabs = "\t" in first[first.rindex('"') :] and "\t" in last[: last.index('"')]
    return joins_tabs and first.count("\t") == last.count("\t") == fields - 1


def _rows_in_a_field(place: Place) -> MisreadDataError:
    return MisreadDataError(place, f"found a quoted field that goes on over following rows, or never ends; {_EXPECTED}")
