"""Reads the records of one corpus file with the reader for its format."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from dpr_tiny_retriever.corpus.source_files import STANDARD_INPUT, Source, format_of_content
from dpr_tiny_retriever.data.data_files import (
    DataError,
    Place,
    decompressed,
    described_errors,
    read_ahead,
)
from dpr_tiny_retriever.data.parquet_files import parquet_records
from dpr_tiny_retriever.data.records import Record, Skip, records_or_errors
from dpr_tiny_retriever.data.text_files import Text, TextFile, Unreadable, read_text_files
from dpr_tiny_retriever.data.text_passages import TextPassage
from dpr_tiny_retriever.data.tsv_records import tsv_records

#: A text -> its passages, such as data.text_passages.split with a model's room and count.
Splitter: TypeAlias = Callable[[Text], Iterable[TextPassage]]
#: (line or Parquet row number, record), with a DataError instead of a record that cannot be parsed.
NumberedRecords: TypeAlias = Iterator[tuple[int, "Record | DataError"]]

#: The fields of passages of text files.
TEXT_FIELDS = ("title", "text", "source", "line")
#: The longest text file, in bytes, that is split; it is read whole.
LONGEST_TEXT = 64 * 2**20


def file_records(
    source: Source,
    skip: Skip,
    *,
    names: Collection[str],
    columns: Collection[str],
    split: Splitter | None,
    opened: Callable[[BinaryIO], object] = lambda file: None,
) -> NumberedRecords:
    """Yield the records of a file; those of JSON lines and of Parquet are passed over while there are some to skip.

    names are those that a header of a .tsv file may be known by, columns those that are read of a Parquet file, split
    makes passages of a text; opened is given the file as it is on disk. Raises DataError where the file is damaged.
    """
    if source.format == "parquet":
        yield from parquet_records(source.path, columns, skip)
    elif source.format == "text":
        yield from _text_records(source, cast("Splitter", split))
    else:
        with source.path.open("rb") as stored:
            opened(stored)
            file = decompressed(stored)
            if source.format == "json":
                yield from records_or_errors(file, source.path, skip)
            else:
                yield from tsv_records(file, source.path, names)


def stream_records(source: Source, *, names: Collection[str]) -> NumberedRecords:
    """Yield the records of standard input or a pipe; whether it is JSON or TSV is detected from its first bytes."""
    with _opened(source) as opened:
        path = Path("standard input") if source.name == STANDARD_INPUT else source.path
        with described_errors(path, [1]):
            head, file = read_ahead(decompressed(opened), lambda head: head.strip())
        found = format_of_content(head)
        if found == "parquet":
            raise DataError(path, "found a Parquet file, which cannot be read from a pipe; expected its path")
        yield from records_or_errors(file, path) if found == "json" else tsv_records(file, path, names)


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if source.name == STANDARD_INPUT:
        yield sys.stdin.buffer  # which stays open
    else:
        with source.path.open("rb") as file:
            yield file


def _text_records(source: Source, split: Splitter) -> NumberedRecords:
    size = source.path.stat().st_size
    if size > LONGEST_TEXT:
        problem = f"a text of {size >> 20} MiB; expected at most {LONGEST_TEXT >> 20}, or JSON lines of passages"
        yield 1, DataError(Place(source.path, 1), problem)
        return
    for text in read_text_files([TextFile(source.path, source.name, "")]):
        if isinstance(text, Unreadable):
            yield 1, DataError(Place(source.path, 1), text.reason)
            continue
        for passage in split(text):
            yield (
                passage.line,
                {"title": passage.title, "text": passage.text, "source": source.name, "line": passage.line},
            )
