"""Records of any format -> rows of a corpus, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpr_tiny_retriever.corpus.rows import BadRow, CorpusRow
from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.records import Record, shown_value
from dpr_tiny_retriever.passage import refuse_surrogates

#: The names that are looked for where none is given; of those for ids the first that a file has is taken.
ID_NAMES = ("_id", "id", "docid")
TITLE_NAME = "title"
TEXT_NAME = "text"


@dataclass(frozen=True)
class Fields:
    """The names of the fields that hold id, title and text; None is one of the usual names."""

    id: str | None = None
    """None: "_id", "id" or "docid"; the rows of a file that has none of these have their places as ids."""
    title: str | None = None
    """None: "title"; a row without it has no title."""
    text: str | None = None
    """None: "text"."""

    def given(self) -> list[str]:
        """The names that are given."""
        return [name for name in (self.id, self.title, self.text) if name is not None]

    def missing(self, columns: Collection[str], keep: Sequence[str]) -> list[str]:
        """Which of the names that a file must have are not among its columns."""
        wanted = dict.fromkeys((*self.given(), *keep, self.text or TEXT_NAME))
        return [name for name in wanted if name not in columns]

    def of_file(self, columns: Collection[str], keep: Sequence[str]) -> FileFields:
        """The fields of a file in which these have been seen, all that it must have among them."""
        id = self.id or next((name for name in ID_NAMES if name in columns), None)
        return FileFields(id, self.title or TITLE_NAME, self.text or TEXT_NAME, tuple(keep))


@dataclass(frozen=True)
class FileFields:
    """The fields that are read of one file; without an id field ids are places."""

    id: str | None
    title: str
    text: str
    keep: tuple[str, ...]

    def columns(self) -> list[str]:
        """The names of all fields, without duplicates."""
        return list(dict.fromkeys(name for name in (self.id, self.title, self.text, *self.keep) if name is not None))


class RowMaker:
    """Makes the rows of one file, in their order."""

    def __init__(self, file: str, fields: FileFields) -> None:
        """file is the name of the file in places and ids."""
        self._file = file
        self._fields = fields
        self._line = 0
        self._on_line = 0

    def row(self, line: int, record: Record | DataError) -> CorpusRow | BadRow:
        """The row of the record that begins on this line, or what is wrong with it."""
        self.pass_over(line)
        if isinstance(record, DataError):
            return BadRow(self._place(), f"{self._file}:{line}", record.problem)
        fields = self._fields
        id = None
        try:
            id = self._place() if fields.id is None else _id(record, fields.id)
            title = _title(record, fields.title)
            text = _text(record, fields.text)
            if not (text.strip() or title.strip()):
                raise ValueError(f"{fields.text} is empty; expected a text")
            return CorpusRow(id, title, text, _carried(record, fields.keep) if fields.keep else {})
        except ValueError as error:
            return BadRow(id or self._place(), f"{self._file}:{line}", str(error))

    def pass_over(self, line: int) -> None:
        """Advance past a row without making it."""
        self._on_line = self._on_line + 1 if line == self._line else 1
        self._line = line

    def _place(self) -> str:
        """The place of the last row; several of one line are told apart by their number on it, "a.json:1#2"."""
        return f"{self._file}:{self._line}" if self._on_line == 1 else f"{self._file}:{self._line}#{self._on_line}"


def _id(record: Mapping[str, Any], name: str) -> str:
    if name not in record:
        raise ValueError(f"found no {name}; expected an id in each row of this file")
    value = record[name]
    if not isinstance(value, str):
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise ValueError(f"{name} is {shown_value(value)}; expected a text or a whole number")
    if not value.strip():
        raise ValueError(f"{name} is empty; expected an id")
    refuse_surrogates(value, name)
    return value


def _title(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown_value(value)}; expected a text or null")
    refuse_surrogates(value, name)
    return value


def _text(record: Mapping[str, Any], name: str) -> str:
    if name not in record:
        raise ValueError(f"found no {name}; expected a text")
    value = record[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown_value(value)}; expected a text")
    refuse_surrogates(value, name)
    return value


def _carried(record: Mapping[str, Any], keep: Sequence[str]) -> dict[str, Any]:
    carried = {name: record.get(name) for name in keep}
    for name, value in carried.items():
        if isinstance(value, str):
            refuse_surrogates(value, name)
    return carried
