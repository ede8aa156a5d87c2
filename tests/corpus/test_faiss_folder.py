from __future__ import annotations

import json
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest
from stored_shards import DIM, ids, rows_of, write_folder

from dpr_tiny_retriever.corpus.stores.faiss_folder import FaissFolder, read_ids
from dpr_tiny_retriever.corpus.stores.loading import load_shards
from dpr_tiny_retriever.corpus.stores.ranking import recall
from dpr_tiny_retriever.types import IndexKind

pytestmark = pytest.mark.stores

QUERIES = np.random.default_rng(7).normal(size=(50, DIM)).astype(np.float32)


@pytest.mark.parametrize(("kind", "least"), [("exact", 1.0), ("hnsw", 0.97), ("ivf", 0.3)])
def test_faiss_reads_the_index_and_its_rows_are_those_of_the_ids(tmp_path: Path, kind: IndexKind, least: float) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 800)), rows_of(ids(800, 1500), bad=["p900"])])
    store = FaissFolder(tmp_path / "faiss", kind=kind)
    load_shards(folder, store)
    assert recall(folder, store, QUERIES) >= least
    index = faiss.read_index(str(tmp_path / "faiss" / "index.faiss"))
    names = list(read_ids(tmp_path / "faiss"))
    assert index.ntotal == len(names) == 1499
    expected = {"exact": faiss.IndexFlat, "hnsw": faiss.IndexHNSWFlat, "ivf": faiss.IndexIVFScalarQuantizer}
    assert isinstance(index, expected[kind])
    if kind == "ivf":
        index.nprobe = index.nlist  # all lists: what is lost is int8's rounding alone
    _, rows = index.search(rows_of(["p1200"]).vectors * 10, 1)
    assert names[rows[0, 0]] == "p1200"


def test_what_was_written_after_the_index_was_saved_last_is_written_again(tmp_path: Path) -> None:
    parts = [rows_of(ids(0, 20)), rows_of(ids(20, 40)), rows_of(ids(40, 60))]
    load_shards(write_folder(tmp_path / "shards", parts[:1]), FaissFolder(tmp_path / "faiss"))
    shutil.copy(tmp_path / "faiss" / "index.faiss", tmp_path / "saved")
    folder = write_folder(tmp_path / "shards", parts)
    load_shards(folder, FaissFolder(tmp_path / "faiss"))
    (tmp_path / "saved").replace(tmp_path / "faiss" / "index.faiss")  # as if killed before the index was saved
    store = FaissFolder(tmp_path / "faiss")
    assert load_shards(folder, store).rows == 40
    assert list(read_ids(tmp_path / "faiss")) == ids(0, 60)
    assert recall(folder, store, QUERIES) == 1


def test_an_index_that_is_not_of_its_other_files_is_damage(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 20))])
    load_shards(folder, FaissFolder(tmp_path / "faiss"))
    about = tmp_path / "faiss" / "about.json"
    record = json.loads(about.read_text())
    record["shards"][0]["rows"] = 19
    about.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"has 20 vectors of 16 floats; expected 19 of 16: it is damaged, delete"):
        load_shards(folder, FaissFolder(tmp_path / "faiss"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("about.json", "{"),
        ("about.json", "[" * 5000),
        ("about.json", "[1]"),
        ("about.json", "{}"),
        ("about.json", '{"kind": "exact", "embedding_dim": 16, "shards": [{"number": "1"}]}'),
        ("about.json", '{"kind": "exact", "embedding_dim": 16, "shards": 7}'),
        ("index.faiss", "no index"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 20))])
    load_shards(folder, FaissFolder(tmp_path / "faiss"))
    (tmp_path / "faiss" / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name} is damaged.*; delete the folder and load again"):
        load_shards(folder, FaissFolder(tmp_path / "faiss"))


def test_an_index_of_another_kind_and_a_folder_of_something_else_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(ids(0, 20))])
    load_shards(folder, FaissFolder(tmp_path / "faiss"))
    with pytest.raises(ValueError, match=r"an index of the kind 'exact'; expected 'hnsw': choose another folder"):
        load_shards(folder, FaissFolder(tmp_path / "faiss", kind="hnsw"))
    with pytest.raises(ValueError, match=r"shards exists, and `dpr-tiny load` has not made it; expected one that"):
        load_shards(folder, FaissFolder(tmp_path / "shards"))
    with pytest.raises(ValueError, match=r"kind is 'flat'; expected exact, hnsw, ivf"):
        FaissFolder(tmp_path / "faiss", kind="flat")  # type: ignore[arg-type]
