"""Shards in Parquet, as other programs read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from shard_folders import contents, encode, record, records, write

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.corpus.encoding import ShardOptions, encode_corpus
from dpr_tiny_retriever.corpus.manifest import CorpusFolderError
from dpr_tiny_retriever.corpus.shard_folder import ShardFolder
from dpr_tiny_retriever.corpus.sources import Sources

pytestmark = [pytest.mark.corpus, pytest.mark.also_lowest]

RECORDS = [
    {"id": "a", "text": "the river", "year": 1890, "tags": ["x"]},
    {"id": "b", "text": None, "year": 1891, "tags": []},
    {"id": "c", "text": "a tower", "year": None, "tags": None},
]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_shard_is_a_table_that_anything_reads(tmp_path: Path, encoder: Encoder, dtype: str) -> None:
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    options = ShardOptions(dtype=dtype, keep=["year", "tags"])  # type: ignore[arg-type]
    sources = Sources([tmp_path / "corpus.jsonl"], keep=options.keep)
    encode_corpus(sources, tmp_path / "shards", encoder, options)
    table = pyarrow.parquet.read_table(tmp_path / "shards" / "part-00000.parquet")
    assert table.column("id").to_pylist() == ["a", "b", "c"]
    assert table.column("year").to_pylist() == [1890, None, None]
    assert table.column("tags").to_pylist() == ['["x"]', None, None]
    assert [vector is None for vector in table.column("vector").to_pylist()] == [False, True, False]
    assert (
        str(table.schema.field("vector").type)
        == {
            "float32": "fixed_size_list<element: float>[128]",
            "float16": "fixed_size_list<element: halffloat>[128]",
            "int8": "fixed_size_list<element: int8>[128]",
        }[dtype]
    )
    [shard] = ShardFolder(tmp_path / "shards").shards()
    expected = encoder.encode(["the river", "a tower"])
    assert shard.ids == ["a", "c"]
    np.testing.assert_allclose(shard.vectors, expected, atol=0.02 * np.abs(expected).max())


def test_changed_inputs_give_the_tables_of_a_fresh_run(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder, format="parquet", keep=["text"])
    write(path, [record(99), *records()[1:]])
    done = encode(path, tmp_path / "shards", encoder, format="parquet", keep=["text"])
    assert (done.encoded, done.copied, done.deleted) == (1, 3, 1)
    encode(path, tmp_path / "fresh", encoder, format="parquet", keep=["text"])
    assert contents(tmp_path / "shards") == contents(tmp_path / "fresh")


def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "a", "text": "the river"}\n')
    encode_corpus(Sources([tmp_path / "corpus.jsonl"]), tmp_path / "shards", encoder, ShardOptions())
    shard = tmp_path / "shards" / "part-00000.parquet"
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(CorpusFolderError, match=r"part-00000\.parquet is damaged"):
        next(ShardFolder(tmp_path / "shards").shards())
