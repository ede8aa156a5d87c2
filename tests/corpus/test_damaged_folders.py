"""An untrusted folder of shards cannot make readers access other files or exhaust memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from shard_folders import encode, records, write

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.corpus import CorpusFolderError, ShardFolder


@pytest.fixture
def corpus(tmp_path: Path, encoder: Encoder) -> Path:
    """Ten rows in three shards, which are at tmp_path / "shards"."""
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    return path


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["../precious.txt", "{absolute}", "manifest.json"])
@pytest.mark.parametrize("rows", [10, 2])
def test_a_file_that_no_shard_has_is_neither_read_nor_removed(
    tmp_path: Path, corpus: Path, encoder: Encoder, name: str, rows: int
) -> None:
    """Updates remove the shards of shortened inputs and hard-link files of earlier ones, by their names."""
    precious = tmp_path / "precious.txt"
    precious.write_text("a secret")
    named = name.format(absolute=precious)

    def steal(record: dict[str, Any]) -> None:
        record["files"] = [named]
        record["bytes"] = (tmp_path / "shards" / named).stat().st_size

    change(tmp_path / "shards" / "part-00002.json", steal)
    write(corpus, records(rows))
    with pytest.raises(CorpusFolderError, match=r"part-00002\.json is damaged .it names the files") as raised:
        encode(corpus, tmp_path / "shards", encoder)
    assert "a secret" not in str(raised.value)
    with pytest.raises(CorpusFolderError):
        ShardFolder(tmp_path / "shards")
    assert precious.read_text() == "a secret"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_rows", 10**15),
        ("num_rows", -1),
        ("num_rows", "10"),
        ("rows_per_shard", 0),
        ("rows_per_shard", True),
        ("embedding_dim", 1e30),
        ("dtype", ["float32"]),
        ("scale", float("nan")),
        ("scale", 1e308),
        ("keep", "title"),
    ],
)
def test_a_manifest_with_values_that_no_job_has_is_damage(tmp_path: Path, corpus: Path, name: str, value: Any) -> None:
    manifest = tmp_path / "shards" / "manifest.json"
    change(manifest, lambda record: (record if name in record else record["job"]).__setitem__(name, value))
    with pytest.raises(CorpusFolderError, match=rf"manifest\.json is damaged .*{name} is"):
        ShardFolder(tmp_path / "shards")


@pytest.mark.parametrize(
    ("name", "value"), [("number", -1), ("rows", "4"), ("clipped", 1e30), ("bad", [["a", "b", 7]])]
)
def test_a_record_with_values_that_no_shard_has_is_damage(tmp_path: Path, corpus: Path, name: str, value: Any) -> None:
    change(tmp_path / "shards" / "part-00001.json", lambda record: record.__setitem__(name, value))
    with pytest.raises(CorpusFolderError, match=r"part-00001\.json is damaged"):
        ShardFolder(tmp_path / "shards")


def test_an_array_that_promises_more_than_its_file_has_is_not_allocated(tmp_path: Path, corpus: Path) -> None:
    path = tmp_path / "shards" / "part-00001.npy"
    size = path.stat().st_size
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 32)})
        file.truncate(size)
    with pytest.raises(CorpusFolderError, match=r"part-00001\.npy is damaged"):
        list(ShardFolder(tmp_path / "shards").shards())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5), np.float32),
        np.zeros((4, 32), np.float64),
        np.full((4, 32), np.nan, np.float32),
        np.zeros(4, np.float32),
    ],
)
def test_vectors_that_are_not_the_job_s_are_damage(tmp_path: Path, corpus: Path, array: Any) -> None:
    replace_vectors(tmp_path / "shards" / "part-00001.npy", array)
    with pytest.raises(CorpusFolderError, match=r"part-00001\.npy (is damaged|holds vectors of)"):
        list(ShardFolder(tmp_path / "shards").shards())


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'shape': (3", b"{'descr': '<f4' 7 'shape': ()}", b"\xff" * 20, b"("]
)
def test_an_array_whose_header_cannot_be_parsed_is_damage(tmp_path: Path, corpus: Path, header: bytes) -> None:
    path = tmp_path / "shards" / "part-00001.npy"
    content = bytearray(path.read_bytes())
    content[10 : 10 + len(header)] = header
    path.write_bytes(content)
    with pytest.raises(CorpusFolderError, match=r"part-00001\.npy is damaged"):
        list(ShardFolder(tmp_path / "shards").shards())


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path, corpus: Path) -> None:
    """Unpickling this object would make a file."""
    made = tmp_path / "made"

    class Harmful:
        def __reduce__(self) -> Any:
            return Path.touch, (made,)

    replace_vectors(tmp_path / "shards" / "part-00001.npy", np.array([Harmful()] * 4, object))
    with pytest.raises(CorpusFolderError, match=r"part-00001\.npy is damaged"):
        list(ShardFolder(tmp_path / "shards").shards())
    assert not made.exists()


def replace_vectors(path: Path, array: NDArray[Any]) -> None:
    """Replace a shard's array and update its size in the shard's record."""
    before = path.stat().st_size
    np.save(path, array, allow_pickle=True)
    change(
        path.with_suffix(".json"), lambda record: record.update(bytes=record["bytes"] + path.stat().st_size - before)
    )
