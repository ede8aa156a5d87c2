"""Files of passages: BEIR's corpus.jsonl and DPR's psgs.tsv, plain or .gz."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.data_files import DataError, Place, open_data_file
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import field, read_records, text_field
from dpr_tiny_retriever.data.skipped_records import SkippedRecords, on_error, skipped_notes, skipping
from dpr_tiny_retriever.data.tsv_records import tsv_records


def add_passages(
    corpus: PassageStore,
    path: Path,
    limit: int | None = None,
    wanted: Container[str] = (),
    *,
    skipped: SkippedRecords | None = None,
) -> dict[str, int]:
    """Append the passages of a file, at most limit; returns the rows of the wanted ids.

    A record that is no passage raises DataError, or is added to skipped and left out.
    """
    corpus.begin_part(path)
    start, rows = len(corpus), dict[str, int]()
    read = _read_tsv if ".tsv" in path.suffixes else read_records
    for place, record in read(path, on_error(skipped)):
        if limit is not None and len(corpus) - start >= limit:
            break
        with skipping(skipped):
            passage_id = record_id(record, place)
            corpus.add(passage_id, record.get("title"), field(record, ("text",), place), place.line)
            if passage_id in wanted:
                rows[passage_id] = len(corpus) - 1
    if len(corpus) == start:
        raise DataError(path, "; ".join(["found no passages; expected one a line", *skipped_notes(skipped)]))
    return rows


def record_id(record: dict[str, Any], place: Place) -> str:
    """The id of a BEIR record, a text or a whole number."""
    value = field(record, ("_id", "id"), place)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else text_field(record, ("_id", "id"), place)


def _read_tsv(path: Path, report: Callable[[DataError], None] | None) -> Iterator[tuple[Place, dict[str, Any]]]:
    with open_data_file(path) as file:
        for line, record in tsv_records(file, path):
            if not isinstance(record, DataError):
                yield Place(path, line), record
            elif report is None:
                raise record
            else:
                report(record)
