"""Files of any size -> the rows of a corpus, streamed in bounded memory and always in the same order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from dpr_tiny_retriever.corpus.row_maker import Fields, FileFields, RowMaker
from dpr_tiny_retriever.corpus.rows import BadRow, CorpusRow
from dpr_tiny_retriever.corpus.source_files import Source, find_sources
from dpr_tiny_retriever.corpus.source_records import (
    TEXT_FIELDS,
    NumberedRecords,
    Splitter,
    file_records,
    stream_records,
)
from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.parquet_files import is_text_type, parquet_columns
from dpr_tiny_retriever.data.records import Record, Skip

#: Records at the beginning of a file in which the fields must be found.
_PROBED = 100
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class SourceFile:
    """A file of a corpus: size in bytes, digest by SHA-256 in hexadecimal; both None where it can be read once only."""

    path: str
    size: int | None
    digest: str | None


class Sources:
    """The rows of files, folders and patterns, as find_sources finds them."""

    def __init__(
        self,
        inputs: Iterable[str | os.PathLike[str]],
        fields: Fields | None = None,
        keep: Sequence[str] = (),
        *,
        split: Splitter | None = None,
        all_folders: bool = False,
    ) -> None:
        """Find the files, and the fields in the first records of each; keep names further fields to carry along.

        split makes passages of text files, whose fields are title, text, source and line; without it they are refused.
        Raises FileNotFoundError, ValueError, DataError (a ValueError) or, without pyarrow, MissingExtraError.
        """
        self._sources = find_sources(inputs, all_folders=all_folders)
        self._fields = fields or Fields()
        self._keep = tuple(keep)
        self._split = split
        self._is_read = False
        self._bytes_read = 0  # of files that are read to their end
        self._file: BinaryIO | None = None  # the one that is read now
        self._notes: list[str] = []
        if repeated := {name for name in self._keep if self._keep.count(name) > 1}:
            raise ValueError(f"found {', '.join(sorted(repeated))} twice among the fields to keep; expected each once")
        if split is None and any(source.format == "text" for source in self._sources):
            raise ValueError("found text files, and nothing that splits them into passages; expected split")
        self._own_names = frozenset((*self._fields.given(), *self._keep))
        self._file_fields = [self._fields_of(source) for source in self._sources if not source.is_stream]

    def notes(self) -> list[str]:
        """What a user should know before hours are spent: files without ids, without titles, without rows."""
        return list(self._notes)

    def files(self) -> list[SourceFile]:
        """The files with their sizes and digests, which takes a second for each gigabyte or so."""
        return [_source_file(source) for source in self._sources]

    def rows(self, skip: int = 0) -> Iterator[CorpusRow | BadRow]:
        """Yield the rows of all files, but for so many at the beginning.

        JSON lines that are skipped are not decoded, row groups of Parquet not read; standard input is read through, and
        can be read once. Raises DataError where a file is damaged, or changes while it is read; rows before it are
        yielded.
        """
        left, self._bytes_read, self._file = Skip(skip), 0, None
        if self._sources[0].is_stream:
            yield from self._rows_of_stream(self._sources[0], left)
            return
        for source, fields in zip(self._sources, self._file_fields, strict=True):
            before = _state(source.path)
            if fields is not None:
                yield from _rows(source, self._records(source, left, fields), left, fields)
            self._bytes_read += source.path.stat().st_size
            self._file = None
            if _state(source.path) != before:
                raise DataError(source.path, "changed while it was read; run the same again, with files at rest")

    def share_read(self) -> float:
        """The share of the files' bytes that rows() has read so far, from any thread; 0 for standard input."""
        size = sum(source.path.stat().st_size for source in self._sources if not source.is_stream)
        file, at = self._file, 0
        if file is not None:
            with suppress(ValueError):  # it has just been closed
                at = file.tell()
        return min(1.0, (self._bytes_read + at) / size) if size else 0.0

    def _rows_of_stream(self, source: Source, left: Skip) -> Iterator[CorpusRow | BadRow]:
        if self._is_read:
            raise ValueError(f"{source.name} has been read already; expected it to be read once")
        self._is_read = True
        records = stream_records(source, names=self._own_names)
        probed, fields = self._probe(source, records)
        if fields is not None:
            yield from _rows(source, chain(probed, records), left, fields)

    def _fields_of(self, source: Source) -> FileFields | None:
        """The fields of a file, found in its first records; None where it holds no record."""
        try:
            if source.format == "parquet":
                types = parquet_columns(source.path)
                fields = self._fields_among(source, types)
                if not is_text_type(types[fields.text]):  # else no row could be read
                    found = f"the column {fields.text} is of the type {types[fields.text]}"
                    raise DataError(source.path, f"{found}; expected string")
                return fields
            if source.format == "text":
                return self._fields_among(source, TEXT_FIELDS)
            return self._probe(source, self._records(source, Skip(), None))[1]
        except OSError as error:
            remedy = "expected a file that this user may read, on a disk that works"
            raise DataError(source.path, f"cannot be read ({error.strerror or error}); {remedy}") from error

    def _records(self, source: Source, left: Skip, fields: FileFields | None) -> NumberedRecords:
        return file_records(
            source,
            left,
            names=self._own_names,
            columns=fields.columns() if fields else (),
            split=self._split,
            opened=self._follow,
        )

    def _follow(self, file: BinaryIO) -> None:
        self._file = file

    def _probe(
        self, source: Source, records: NumberedRecords
    ) -> tuple[list[tuple[int, Record | DataError]], FileFields | None]:
        """Read the first records until all fields have been seen; returns what was read, and the fields."""
        probed: list[tuple[int, Record | DataError]] = []
        columns: dict[str, None] = {}
        for line, record in islice(records, _PROBED):
            probed.append((line, record))
            if isinstance(record, DataError):
                continue
            columns.update(dict.fromkeys(record))
            if not self._fields.missing(columns, self._keep) and self._fields.of_file(columns, ()).id is not None:
                break
        if not probed:
            self._notes.append(f"{source.name} holds no rows")
            return probed, None
        if not columns and isinstance(error := probed[0][1], DataError):
            raise DataError(source.path, f"none of the first {len(probed)} rows can be read: {error.problem}")
        return probed, self._fields_among(source, columns)

    def _fields_among(self, source: Source, columns: Iterable[str]) -> FileFields:
        found = list(columns)
        if missing := self._fields.missing(found, self._keep):
            remedy = "" if self._fields.text else "; where the text goes by another name, give that name"
            expected = f"expected {', '.join(missing)}{remedy}"
            raise DataError(source.path, f"found the fields {', '.join(found) or 'of no row'}; {expected}")
        fields = self._fields.of_file(found, self._keep)
        if fields.id is None and source.format != "text":
            self._notes.append(f"{source.name} has no ids among its fields {', '.join(found)}: places are taken")
        return fields


def _rows(source: Source, records: NumberedRecords, left: Skip, fields: FileFields) -> Iterator[CorpusRow | BadRow]:
    maker = RowMaker(source.name, fields)
    for line, record in records:
        if left.left:
            left.left -= 1
            maker.pass_over(line)
        else:
            yield maker.row(line, record)


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _source_file(source: Source) -> SourceFile:
    if source.is_stream:
        return SourceFile(source.name, None, None)
    digest, size = hashlib.sha256(), 0
    with source.path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return SourceFile(source.name, size, digest.hexdigest())
