"""What holds for every store: shards go in once, in any number of attempts, and rank as their vectors do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from stored_shards import DIM, JOB, exact_ids, ids, rows_of, write_folder

from dpr_tiny_retriever.corpus.manifest import ShardRecord
from dpr_tiny_retriever.corpus.shard_folder import Shard
from dpr_tiny_retriever.corpus.stores.faiss_folder import FaissFolder
from dpr_tiny_retriever.corpus.stores.loading import Loaded, VectorStore, load_shards
from dpr_tiny_retriever.corpus.stores.postgres_table import PostgresTable
from dpr_tiny_retriever.corpus.stores.qdrant_collection import QdrantCollection
from dpr_tiny_retriever.corpus.stores.ranking import recall, sample_vectors
from dpr_tiny_retriever.corpus.stores.sqlite_index import SqliteIndex

pytestmark = pytest.mark.stores

Opened = Callable[[], VectorStore]
QUERIES = np.random.default_rng(7).normal(size=(20, DIM)).astype(np.float32)
#: Few, since a folder of Qdrant's flushes every point to disk.
SHARDS = [rows_of(ids(0, 20)), rows_of(ids(20, 40), bad=["p25"]), rows_of(ids(40, 50))]
_NUMBERS = count()


@pytest.fixture(params=["faiss", "postgres", "qdrant", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """A function that opens the same store at every call, and creates it at the first."""
    stores: list[VectorStore] = []
    if request.param == "postgres":
        address, table = request.getfixturevalue("postgres"), f"test_{next(_NUMBERS)}"

    def make() -> VectorStore:
        for store in stores:
            store.close()
        stores.clear()
        if request.param == "faiss":
            stores.append(FaissFolder(tmp_path / "faiss"))
        elif request.param == "postgres":
            stores.append(PostgresTable(address, table))
        elif request.param == "qdrant":
            stores.append(QdrantCollection(tmp_path / "qdrant", kind="exact"))
        else:
            stores.append(SqliteIndex(tmp_path / "index.sqlite"))
        return stores[0]

    yield make
    for store in stores:
        store.close()


def killed_after(store: VectorStore, shards: int) -> VectorStore:
    """The store, whose process ends within the write of the shard after so many."""
    write, left = store.write, count(-shards)

    def write_or_die(record: ShardRecord, shard: Shard) -> None:
        if next(left) == 0:
            raise KeyboardInterrupt
        write(record, shard)

    store.write = write_or_die  # type: ignore[method-assign]
    return store


@pytest.mark.parametrize("opened", ["postgres", "qdrant", "sqlite"], indirect=True)
def test_a_store_with_transactions_keeps_every_shard_that_was_written(opened: Opened, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", SHARDS)
    with pytest.raises(KeyboardInterrupt):
        load_shards(folder, killed_after(opened(), 2))
    assert load_shards(folder, opened()) == Loaded(shards=1, rows=10, kept=2, removed=0)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_store_ranks_as_a_comparison_with_every_vector(opened: Opened, tmp_path: Path, similarity: str) -> None:
    folder = write_folder(tmp_path / "shards", SHARDS, replace(JOB, similarity=similarity))
    store = opened()
    assert load_shards(folder, store) == Loaded(shards=3, rows=49, kept=0, removed=0)
    assert store.count() == 49
    assert store.nearest(QUERIES, 10) == exact_ids(folder, QUERIES, 10)
    assert recall(folder, store, QUERIES, 10) == 1
    assert recall(folder, store, sample_vectors(folder, 10), 60) == 1


def test_a_load_that_ends_early_goes_on_and_a_finished_one_writes_nothing(opened: Opened, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", SHARDS)
    with pytest.raises(KeyboardInterrupt):
        load_shards(folder, killed_after(opened(), 2))
    again = load_shards(folder, opened())
    assert again.kept + again.shards == 3
    store = opened()
    assert load_shards(folder, store) == Loaded(shards=0, rows=0, kept=3, removed=0)
    assert store.nearest(QUERIES, 10) == exact_ids(folder, QUERIES, 10)


def test_shards_that_changed_replace_their_rows(opened: Opened, tmp_path: Path) -> None:
    load_shards(write_folder(tmp_path / "shards", SHARDS), opened())
    for record in (tmp_path / "shards").glob("part-*.json"):
        record.unlink()
    # p0 has moved to a later shard, all others of the first are gone, and the third shard is no more.
    folder = write_folder(tmp_path / "shards", [rows_of(ids(60, 64), seed=1), rows_of(["p0", *ids(20, 39)])])
    store = opened()
    load_shards(folder, store)
    assert store.count() == 24
    assert store.nearest(QUERIES, 24) == exact_ids(folder, QUERIES, 24)


def test_vectors_of_another_model_or_width_are_refused_with_nothing_written(opened: Opened, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", SHARDS)
    load_shards(folder, opened())
    other = write_folder(tmp_path / "other", SHARDS, replace(JOB, fingerprint="fedcba", model="another"))
    with pytest.raises(ValueError, match=r"'a-model' \(01234567\).*'another' \(fedcba\).*another (name|file)"):
        load_shards(other, opened())
    wide = [rows_of(ids(0, 10), dim=8)]
    narrow = write_folder(tmp_path / "narrow", wide, replace(JOB, fingerprint="fedcba", embedding_dim=8))
    with pytest.raises(ValueError, match=r"a-model|vector\(16\); expected vector\(8\)|vectors of 16 floats.* 8"):
        load_shards(narrow, opened())
    store = opened()
    assert load_shards(folder, store).kept == 3
    assert store.count() == 49


def test_an_id_that_a_shard_has_twice_is_refused(opened: Opened, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shards", [rows_of(["p1", "p2", "p1"])])
    with pytest.raises(ValueError, match=r"part-00000 has two rows of the id 'p1'; expected an id for each"):
        load_shards(folder, opened())


def test_an_empty_folder_makes_an_empty_store(opened: Opened, tmp_path: Path) -> None:
    store = opened()
    assert load_shards(write_folder(tmp_path / "shards", []), store).rows == 0
    assert store.count() == 0
