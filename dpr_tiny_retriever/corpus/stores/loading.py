"""Shards into any store: what is there already is passed over, what has changed is replaced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from dpr_tiny_retriever.corpus.manifest import Job, ShardRecord
from dpr_tiny_retriever.corpus.shard_folder import Shard, ShardFolder
from dpr_tiny_retriever.model_stamp import another_model
from dpr_tiny_retriever.progress import progress_bar
from dpr_tiny_retriever.types import Vectors


class VectorStore(Protocol):
    """What shards can be loaded into. It knows which shards it holds, so that a load that was killed can go on."""

    def prepare(self, folder: ShardFolder) -> None:
        """Begin the store, or raise ValueError where it cannot hold these vectors, with nothing written."""

    def loaded(self) -> Mapping[int, str]:
        """The numbers of the shards that are wholly in the store, and the digests of their files."""

    def remove(self, numbers: Collection[int]) -> None:
        """Take all rows of these shards out; a store that cannot takes out those of all shards."""

    def write(self, record: ShardRecord, shard: Shard) -> None:
        """Put the rows of a shard in, and note that it is there; after a kill, the next load doubles no row."""

    def finish(self) -> None:
        """Make what was written last, and ready to be searched."""

    def count(self) -> int:
        """How many rows there are."""

    def nearest(self, queries: Vectors, k: int) -> list[list[str]]:
        """The ids of the k rows nearest to each of queries [q, dim], best first."""

    def close(self) -> None:
        """Let go of files and connections."""


@dataclass(frozen=True)
class Loaded:
    """What a load did."""

    shards: int
    """Shards written now."""
    rows: int
    """Rows written now."""
    kept: int
    """Shards that were there already."""
    removed: int
    """Shards taken out, since the folder has them no more, or with other rows."""


def load_shards(folder: ShardFolder, store: VectorStore, *, show_progress: bool | None = None) -> Loaded:
    """Make a store hold the finished shards of a folder, and no other rows of that table or collection.

    Memory: one shard beside what the store keeps in memory itself. May be killed and run again at any time; no row is
    double. Raises ValueError where the store cannot hold the vectors, before anything is written, and where an id
    occurs twice.
    """
    store.prepare(folder)
    records = {record.number: record for record in folder.manifest.shards}
    held = store.loaded()
    stale = {number for number, digest in held.items() if number not in records or records[number].digest != digest}
    if stale:
        store.remove(stale)
        held = store.loaded()
    waiting = [record for record in records.values() if record.number not in held]
    total, rows = sum(map(usable_rows, waiting)), 0
    with progress_bar(total=total, unit=" passages", show_progress=show_progress, description="Loading") as bar:
        for record in waiting:
            shard = folder.read(record)
            _refuse_double_ids(shard)
            store.write(record, shard)
            rows += shard.num_rows
            bar.update(shard.num_rows)
    store.finish()
    found, expected = store.count(), sum(map(usable_rows, records.values()))
    if found != expected:
        raise ValueError(
            f"the store holds {found} rows; expected the {expected} of {folder.path}: "
            + ("some ids occur in two shards, encode the corpus with an id for each" if found < expected else _FOREIGN)
        )
    return Loaded(len(waiting), rows, len(held), len(stale))


_FOREIGN = "others have been added by another program, load into a store of its own"


def usable_rows(record: ShardRecord) -> int:
    """How many rows of a shard have a vector."""
    return record.rows - len(record.bad)


def described(job: Job) -> dict[str, str | int]:
    """What a store keeps of the job whose vectors it holds."""
    return {
        "fingerprint": job.fingerprint,
        "model": job.model,
        "embedding_dim": job.embedding_dim,
        "similarity": job.similarity,
    }


def refuse_another_model(store: str, found: Mapping[str, object] | None, job: Job) -> None:
    """Raise ValueError unless a store's description is that of this job; None: it has none; store: how to call it."""
    if found is None:
        raise ValueError(
            f"{store} exists, and `dpr-tiny load` has not made it; expected one that it made, or a name that is free: "
            "choose another name"
        )
    if other := another_model(found, model=job.model, fingerprint=job.fingerprint):
        raise ValueError(f"{store} holds {other[0]}; {other[1]}: choose another name")


def _refuse_double_ids(shard: Shard) -> None:
    seen: set[str] = set()
    for id in shard.ids:
        if id in seen:
            raise ValueError(
                f"{shard.name} has two rows of the id {id!r}; expected an id for each: correct the corpus, and encode "
                "it again"
            )
        seen.add(id)
