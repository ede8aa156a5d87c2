"""Tab-separated passages -> records: files of DPR, of MS MARCO, and such as name their columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from dpr_tiny_retriever.data.data_files import DataError, Place, described_errors, read_ahead
from dpr_tiny_retriever.data.records import Record
from dpr_tiny_retriever.data.tab_separated import rows_or_errors

#: Names that columns have in published files, in any case of letters.
_ID_NAMES = frozenset(("_id", "id", "docid"))
_USUAL_NAMES = _ID_NAMES | {"text", "title"}
#: The columns of a file whose first line does not name them, by their number: MS MARCO's and DPR's.
_USUAL_COLUMNS = {2: ("id", "text"), 3: ("id", "text", "title")}


def tsv_records(file: BinaryIO, path: Path, names: Collection[str] = ()) -> Iterator[tuple[int, Record | DataError]]:
    """Yield (line number, record) for each row, lines counted from 1; a row that cannot be parsed yields its DataError.

    The first line names the columns if it begins with "id" or its like, if one of its fields is among names, or if all
    are usual names.
    Raises DataError, at path, where it does not and there are not two or three columns.
    """
    with described_errors(path, [1]):
        head, file = read_ahead(file, lambda head: b"\n" in head)
    width = head.partition(b"\n")[0].count(b"\t") + 1
    columns: tuple[str, ...] = ()
    for number, row in rows_or_errors(file, path, width):
        if isinstance(row, DataError):
            yield number, row
            continue
        if not columns:
            columns, is_header = _columns(row, path, frozenset(names))
            if is_header:
                continue
        if len(row) == len(columns):
            yield number, dict(zip(columns, row, strict=True))
        else:
            expected = f"expected {len(columns)}: {', '.join(columns)}, with tabs between"
            yield number, DataError(Place(path, number), f"found {len(row)} fields; {expected}")


def _columns(row: list[str], path: Path, names: frozenset[str]) -> tuple[tuple[str, ...], bool]:
    """The columns of a file by its first row, and whether this names them."""
    stripped = [name.strip() for name in row]
    usual = [name.lower() if name not in names and name.lower() in _USUAL_NAMES else name for name in stripped]
    if usual[0] in _ID_NAMES or not names.isdisjoint(usual) or _USUAL_NAMES.issuperset(usual):
        if len(set(usual)) < len(usual):
            raise DataError(path, f"found the columns {', '.join(usual)}; expected each name once")
        return tuple(usual), True
    if len(row) not in _USUAL_COLUMNS:
        expected = "expected a first line that names the columns, or two or three columns: id, text, title"
        raise DataError(path, f"found {len(row)} columns, and no names for them in the first line; {expected}")
    return _USUAL_COLUMNS[len(row)], False
