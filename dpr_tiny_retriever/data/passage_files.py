"""Files of passages: BEIR's corpus.jsonl and DPR's psgs.tsv, plain or .gz."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import DataError, Place, field, read_records, read_rows, text_field


def add_passages(
    corpus: PassageStore, path: Path, limit: int | None = None, wanted: set[str] | frozenset[str] = frozenset()
) -> dict[str, int]:
    """Append the passages of a file; returns the rows of the wanted ids."""
    corpus.begin_part(path)
    passages = _tsv_passages(path) if ".tsv" in path.suffixes else _json_passages(path)
    start, rows = len(corpus), dict[str, int]()
    for place, passage_id, title, text in itertools.islice(passages, limit):
        if passage_id in wanted:
            rows[passage_id] = len(corpus)
        corpus.add(passage_id, title, text, place.line)
    if len(corpus) == start:
        raise DataError(path, "found no passages; expected one a line")
    return rows


def record_id(record: dict[str, Any], place: Place) -> str:
    """The id of a BEIR record, a text or a whole number."""
    value = field(record, ("_id", "id"), place)
    return str(value) if isinstance(value, int) else text_field(record, ("_id", "id"), place)


def _json_passages(path: Path) -> Iterator[tuple[Place, str, object, object]]:
    for place, record in read_records(path):
        yield place, record_id(record, place), record.get("title"), field(record, ("text",), place)


def _tsv_passages(path: Path) -> Iterator[tuple[Place, str, object, object]]:
    for place, row in read_rows(path):
        if len(row) != 3:
            raise DataError(place, f"found {len(row)} fields; expected 3: id, text, title, with tabs between")
        if row[0] != "id":  # the header
            yield place, row[0], row[2], row[1]
