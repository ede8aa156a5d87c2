"""Parquet and .zst files as sources, which need the extra `corpus`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpr_tiny_retriever.corpus.row_maker import Fields
from dpr_tiny_retriever.corpus.rows import BadRow, CorpusRow
from dpr_tiny_retriever.corpus.sources import Sources
from dpr_tiny_retriever.data.data_files import DataError

pytestmark = [pytest.mark.corpus, pytest.mark.also_lowest]


def write_table(path: Path, columns: dict[str, object], row_group_size: int = 2) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def test_rows_of_a_parquet_file_are_the_same_whatever_is_skipped(tmp_path: Path) -> None:
    texts = ["one", "two", None, "four", "five"]
    columns = {"id": [1, 2, 3, 4, 5], "title": ["A", None, "C", "", "E"], "text": texts, "vector": [[0.5]] * 5}
    path = write_table(tmp_path / "a.parquet", {**columns, "lang": ["en", "de", "fr", None, "en"]})
    sources = Sources([path], keep=["lang"])
    whole = list(sources.rows())
    assert whole == [
        CorpusRow("1", "A", "one", {"lang": "en"}),
        CorpusRow("2", "", "two", {"lang": "de"}),
        BadRow("3", f"{path}:3", "text is null; expected a text"),
        CorpusRow("4", "", "four", {"lang": None}),
        CorpusRow("5", "E", "five", {"lang": "en"}),
    ]
    for skip in range(7):
        assert list(sources.rows(skip)) == whole[skip:]


def test_a_text_that_is_not_utf8_costs_its_row(tmp_path: Path) -> None:
    offsets, content = pa.py_buffer(b"\0\0\0\0\3\0\0\0\4\0\0\0\7\0\0\0"), pa.py_buffer(b"one\xfftwo")
    text = pa.Array.from_buffers(pa.string(), 3, [None, offsets, content])
    path = write_table(tmp_path / "named.otherwise", {"text": text})
    assert list(Sources([path]).rows()) == [
        CorpusRow(f"{path}:1", "", "one", {}),
        BadRow(f"{path}:2", f"{path}:2", "byte 0xff is not UTF-8; expected UTF-8 text"),
        CorpusRow(f"{path}:3", "", "two", {}),
    ]


def test_wrong_columns_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", {"id": ["1"], "body": ["x"]})
    with pytest.raises(DataError, match=r"a\.parquet: found the fields id, body; expected text"):
        Sources([path])
    assert list(Sources([path], Fields(text="body")).rows()) == [CorpusRow("1", "", "x", {})]
    binary = write_table(tmp_path / "binary.parquet", {"id": ["1"], "text": [b"x"]})
    with pytest.raises(DataError, match=r"text is of the type binary; expected string"):
        Sources([binary])
    content = path.read_bytes()
    for damaged in (content[:-20], content.replace(b"body", b"b\xf1dy")):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.parquet: the Parquet file is damaged .*copy it again"):
            Sources([path])


def test_zst_files_are_read_up_to_where_they_are_damaged(tmp_path: Path) -> None:
    lines = [json.dumps({"id": n, "text": f"text {n}"}) + "\n" for n in range(5000)]
    path = tmp_path / "a.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write("".join(lines).encode())
    rows = list(Sources([path]).rows())
    assert rows == [CorpusRow(str(n), "", f"text {n}", {}) for n in range(5000)]
    path.write_bytes(path.read_bytes()[:-100])
    found = []
    with pytest.raises(DataError, match=r"a\.jsonl\.zst:\d+: the \.zst file is damaged"):
        found.extend(Sources([path]).rows())
    assert found == rows[: len(found)] != []
