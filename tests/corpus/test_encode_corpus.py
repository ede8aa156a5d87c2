"""Corpora -> folders of shards: what is in them, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from shard_folders import contents, encode, ids, record, records, vectors, write

from dpr_tiny_retriever import Encoder, MissingExtraError
from dpr_tiny_retriever.corpus import CorpusFolderError, ShardFolder, ShardOptions, Sources, encode_corpus


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 1e-3), ("int8", 0.02)])
def test_vectors_come_back_as_they_were_stored(tmp_path: Path, encoder: Encoder, dtype: str, error: float) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    done = encode(path, tmp_path / "shards", encoder, dtype=dtype, keep=["title"])
    expected = encoder.encode([(each["title"], each["text"]) for each in records()])
    np.testing.assert_allclose(vectors(tmp_path / "shards"), expected, atol=error * np.abs(expected).max())
    folder = ShardFolder(tmp_path / "shards")
    assert [shard.num_rows for shard in folder.shards()] == [4, 4, 2]
    assert next(folder.shards()).columns == {"title": [None, "title", None, "title"]}
    assert next(folder.shards(columns=[])).columns == {}
    assert ids(tmp_path / "shards") == [f"d{number}" for number in range(10)]
    assert (done.encoded, done.copied, done.manifest.num_rows) == (10, 0, 10)
    assert folder.problems() == []
    with pytest.raises(CorpusFolderError, match="carries title; expected text too: encode the corpus with --keep text"):
        next(folder.shards(columns=["text"]))


def test_shards_are_read_with_numpy_alone(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder, dtype="int8")
    scale = json.loads((tmp_path / "shards" / "manifest.json").read_text())["job"]["scale"]
    arrays = [np.load(file) for file in sorted((tmp_path / "shards").glob("part-*.npy"))]
    found = np.concatenate(arrays) * np.float32(scale)
    np.testing.assert_array_equal(found, vectors(tmp_path / "shards"))


def test_numbers_beyond_the_scale_are_clipped_and_counted(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records(4))
    encode(path, tmp_path / "shards", encoder, dtype="int8")
    manifest = tmp_path / "shards" / "manifest.json"
    written = json.loads(manifest.read_text())
    written["job"]["scale"] /= 1000
    manifest.write_text(json.dumps(written))
    write(path, records(5))
    done = encode(path, tmp_path / "shards", encoder, dtype="int8")
    assert done.manifest.shards[1].clipped > 0
    assert np.abs(np.load(tmp_path / "shards" / "part-00001.npy")).max() == 127


def test_a_bad_row_costs_itself(tmp_path: Path, encoder: Encoder) -> None:
    found = [*records(3), {"id": "d3", "text": None}, *[record(number) for number in range(4, 6)]]
    path = write(tmp_path / "corpus.jsonl", found)
    done = encode(path, tmp_path / "shards", encoder)
    assert [(row.id, row.place) for row in done.manifest.bad] == [("d3", f"{path}:4")]
    assert ids(tmp_path / "shards") == ["d0", "d1", "d2", "d4", "d5"]
    expected = encoder.encode([(each["title"], each["text"]) for each in found if each["text"]])
    np.testing.assert_array_equal(vectors(tmp_path / "shards"), expected)
    with pytest.raises(ValueError, match=r"corpus\.jsonl:4: .*; mend it, or encode the others without strict"):
        encode(path, tmp_path / "strict", encoder, strict=True)


def test_a_folder_of_another_job_is_refused_with_what_differs(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    before = contents(tmp_path / "shards")
    with pytest.raises(CorpusFolderError, match="another job: rows_per_shard is 5, and there is 4; expected another"):
        encode(path, tmp_path / "shards", encoder, rows_per_shard=5)
    with pytest.raises(CorpusFolderError, match=r"fingerprint is .*, and there is .*; max_length is 9, and there is"):
        encode(path, tmp_path / "shards", encoder.with_max_length(9))
    with pytest.raises(CorpusFolderError, match="dtype is 'int8', and there is 'float32'"):
        encode(path, tmp_path / "shards", encoder, dtype="int8")
    assert contents(tmp_path / "shards") == before


@pytest.mark.linux
def test_damage_is_found_by_reading_everything(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    undisturbed = contents(tmp_path / "shards")
    array = tmp_path / "shards" / "part-00001.npy"
    array.write_bytes(array.read_bytes()[:-4] + b"\0\0\0\1")
    [problem] = ShardFolder(tmp_path / "shards").problems()
    assert "part-00001.npy" in problem
    assert "is damaged; delete it, and run the same command again" in problem
    array.unlink()
    assert encode(path, tmp_path / "shards", encoder).encoded == 4
    assert contents(tmp_path / "shards") == undisturbed


def test_an_empty_corpus_is_a_folder_without_shards(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "corpus.jsonl").write_text("")
    done = encode(tmp_path / "corpus.jsonl", tmp_path / "shards", encoder)
    assert (done.manifest.num_rows, done.manifest.is_complete, ids(tmp_path / "shards")) == (0, True, [])


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="the share is 3/2; expected I/N with I from 1 to N"):
        ShardOptions(share=(3, 2))
    with pytest.raises(ValueError, match="found the field 'vector' to keep; expected another name"):
        ShardOptions(keep=["vector"])


def test_parquet_without_pyarrow_is_refused_before_anything_is_encoded(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "a", "text": "A river."}\n')
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install .dpr-tiny-retriever\[corpus\]., or choose format npy"):
        encode_corpus(Sources([tmp_path / "corpus.jsonl"]), tmp_path / "vectors", encoder, ShardOptions())
    assert not (tmp_path / "vectors").exists()


def test_a_folder_without_a_manifest_is_no_folder_of_shards(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json; expected a folder that `dpr-tiny encode`"):
        ShardFolder(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 1, "job": {}}')
    with pytest.raises(CorpusFolderError, match=r"manifest\.json is damaged"):
        ShardFolder(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("rows_per_shard", [700, 10_000])
def test_progress_knows_how_much_is_left(tmp_path: Path, encoder: Encoder, rows_per_shard: int) -> None:
    path = write(tmp_path / "corpus.jsonl", [record(number, "the river " * 20) for number in range(9000)])
    told: list[tuple[int, int | None]] = []
    options = ShardOptions(rows_per_shard=rows_per_shard, format="npy")
    encode_corpus(Sources([path]), tmp_path / "shards", encoder, options, progress=lambda *counts: told.append(counts))
    assert told[-1] == (9000, 9000)
    assert all(expected is not None and abs(expected - 9000) < 900 for _, expected in told)
