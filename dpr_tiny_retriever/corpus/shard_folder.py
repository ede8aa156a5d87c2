"""A folder of shards, finished or not: what is in it, its vectors, and whether it is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.corpus.manifest import CorpusFolderError, Manifest, ShardRecord, read_manifest, shard_name
from dpr_tiny_retriever.corpus.shards import read_rows, restored
from dpr_tiny_retriever.types import Vectors

_BLOCK = 1 << 22  # bytes


@dataclass(frozen=True)
class Shard:
    """The usable rows of one shard; bad ones are left out."""

    name: str
    ids: list[str]
    vectors: Vectors
    """float32 [len(ids), embedding_dim], whatever they are stored as."""
    columns: dict[str, list[Any]]
    """What was carried along, by name."""

    @property
    def num_rows(self) -> int:
        """How many usable rows there are."""
        return len(self.ids)


class ShardFolder:
    """Reads the folder that encode_corpus writes, a shard at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises FileNotFoundError where the folder holds no manifest, CorpusFolderError where it is damaged."""
        self.path = Path(path)
        self.manifest: Manifest = read_manifest(self.path)

    def shards(self, *, columns: Sequence[str] | None = None) -> Iterator[Shard]:
        """Yield the finished shards by number; columns names what is read beside ids and vectors, None for all of it.

        Raises CorpusFolderError for a shard whose file is damaged, or columns that were not carried along.
        """
        carried = self.manifest.job.keep
        if lacking := [name for name in columns or () if name not in carried]:
            raise CorpusFolderError(
                f"{self.path} carries {', '.join(carried) or 'no columns'}; expected {lacking[0]} too: "
                f"encode the corpus with --keep {lacking[0]}"
            )
        for record in self.manifest.shards:
            yield self.read(record, columns=columns)

    def read(self, record: ShardRecord, *, columns: Sequence[str] | None = None) -> Shard:
        """The shard of a record of the manifest; columns as shards() takes them."""
        rows, job = read_rows(self.path / record.files[0], carried=columns), self.manifest.job
        if (found := (rows.vectors.shape[1], rows.vectors.dtype.name)) != (job.embedding_dim, job.dtype) and rows.ids:
            raise CorpusFolderError(
                f"{self.path / record.files[0]} holds vectors of {found[0]} numbers in {found[1]}; expected "
                f"{job.embedding_dim} in {job.dtype}: delete it, and encode the same again"
            )
        good = [number for number, is_bad in enumerate(rows.is_bad) if not is_bad]
        ids, vectors, carried = rows.ids, rows.vectors, rows.carried
        if len(good) < len(ids):
            ids = [ids[number] for number in good]
            vectors = vectors[good]
            carried = {name: [column[number] for number in good] for name, column in carried.items()}
        return Shard(shard_name(record.number), ids, restored(vectors, self.manifest.job.scale), carried)

    def problems(self) -> list[str]:
        """Read every file whole; returns what is missing or damaged, nothing for a folder that is whole."""
        manifest, problems = self.manifest, []
        if manifest.num_rows is None:
            problems.append("the end of the inputs has not been reached; run the same command again")
        problems += [f"{shard_name(number)} is missing; run the same command again" for number in manifest.missing]
        for shard in manifest.shards:
            if file_digest([self.path / name for name in shard.files]) != shard.digest:
                names = " and ".join(shard.files)
                problems.append(f"{names} is damaged; delete it, and run the same command again")
        return problems


def file_digest(paths: Sequence[Path]) -> str:
    """SHA-256 of files, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
