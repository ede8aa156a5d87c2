"""Parquet files -> records, read batch by batch; pyarrow comes with the extra `corpus`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.data_files import DataError, Place, not_utf8
from dpr_tiny_retriever.data.records import Record, Skip
from dpr_tiny_retriever.errors import MissingExtraError

#: How every Parquet file begins.
PARQUET_MAGIC = b"PAR1"
_BATCH = 1024  # rows
_BUFFER = 1 << 20  # bytes, of each column


def parquet_columns(path: Path) -> dict[str, str]:
    """Map the column names of a Parquet file to the names of their Arrow types, such as "string".

    Raises DataError where the file is damaged or two columns have one name, MissingExtraError without pyarrow.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if repeated:
            raise DataError(path, f"found two columns {repeated[0]!r}; expected each name once")
        return {column.name: str(column.type) for column in schema}


def is_text_type(type: str) -> bool:
    """Whether the values of a column of this type, as parquet_columns names it, are texts."""
    return type.removeprefix("dictionary<values=").startswith(("string", "large_string"))


def parquet_records(path: Path, columns: Collection[str], skip: Skip) -> Iterator[tuple[int, Record | DataError]]:
    """Yield (row number, record), counted from 1, with those of the columns that the file has.

    In the place of a row that is not UTF-8 there is an error.
    Row groups that are wholly to be skipped are not read. Raises DataError where the file is damaged.
    """
    number = 0
    with _opened(path) as file:
        present = [name for name in columns if name in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if skip.left >= size:
                skip.left -= size
                number += size
                continue
            for batch in file.iter_batches(_BATCH, row_groups=[group], columns=present, use_threads=False):
                passed = min(skip.left, batch.num_rows)
                skip.left -= passed
                number += passed
                for record in _records(batch.slice(passed), Place(path, number + 1)):
                    number += 1
                    yield number, record


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, as pyarrow.parquet.ParquetFile; what pyarrow says of damage is raised as DataError."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise MissingExtraError(
            'Parquet files need pyarrow, which is not installed; run: pip install "dpr-tiny-retriever[corpus]"'
        ) from None
    try:
        # Column chunks are read a part at a time, so that large row groups take no more memory than small ones.
        with ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # UnicodeDecodeError: column names
        if getattr(error, "errno", None) is not None:  # of the disk
            raise
        raise DataError(path, f"the Parquet file is damaged ({error}); copy it again") from error


def _records(batch: Any, first: Place) -> Iterator[Record | DataError]:
    names = batch.schema.names
    try:
        columns = [column.to_pylist() for column in batch.columns]
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield {name: batch[name][row].as_py() for name in names}
            except UnicodeDecodeError as error:
                yield not_utf8(Place(first.path, first.line + row), error)
    else:
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))
