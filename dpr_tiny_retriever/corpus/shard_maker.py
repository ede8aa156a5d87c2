"""Encodes and writes the drafts of shards, in this process or in the workers of an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dpr_tiny_retriever.corpus.drafts import Draft, Drafter
from dpr_tiny_retriever.corpus.manifest import Job, ShardRecord, shard_name, write_shard_record
from dpr_tiny_retriever.corpus.shard_folder import file_digest
from dpr_tiny_retriever.corpus.shards import stored, write_rows
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.types import Vectors


class ShardTask(NamedTuple):
    """A draft, and the titled texts of those of its rows whose vectors are unknown."""

    draft: Draft
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ShardMaker:
    """Makes one shard after another. Pickles as its encoder does, so that an engine's processes load the model."""

    encoder: Encoder
    folder: Path
    job: Job
    batch_size: int | None = None

    def __call__(self, task: ShardTask) -> ShardRecord:
        """Encode the texts and write the shard; done twice, it gives the same bytes."""
        vectors = self.encoder.encode_pairs(list(task.texts), batch_size=self.batch_size, show_progress=False)
        return write_shard(self.folder, self.job, task.draft, vectors)


def shard_tasks(drafter: Drafter) -> Iterator[ShardTask]:
    """Read what is to be made, shard by shard, with one of them in memory."""
    texts: list[tuple[str, str]] = []
    while not drafter.is_finished:
        for text in drafter.texts():
            texts.append(text)
            yield from _whole(drafter, texts)
        yield from _whole(drafter, texts)


def write_shard(folder: Path, job: Job, draft: Draft, made: Vectors) -> ShardRecord:
    """Write a shard's files, then the record that says so; made is float32 [len(draft.unknown), embedding_dim]."""
    rows = draft.rows
    vectors, clipped = stored(made, job.dtype, job.scale)
    rows.vectors = np.zeros((len(rows.ids), job.embedding_dim), vectors.dtype)
    rows.vectors[list(draft.unknown)] = vectors
    for place, vector in draft.known.items():
        rows.vectors[place] = vector
    name = shard_name(draft.number)
    (folder / f"{name}.json").unlink(missing_ok=True)  # what it says is no longer so
    files = write_rows(folder, name, rows, job.format)
    paths = [folder / file for file in files]
    size, digest = sum(path.stat().st_size for path in paths), file_digest(paths)
    record = ShardRecord(
        draft.number, files, draft.first_row, len(rows.ids), size, digest, draft.content, draft.bad, clipped
    )
    write_shard_record(folder, record)
    return record


def _whole(drafter: Drafter, texts: list[tuple[str, str]]) -> Iterator[ShardTask]:
    """Take the drafts all of whose texts have been read, and their texts."""
    while drafter.ready and len(texts) >= (count := len(drafter.ready[0].unknown)):
        yield ShardTask(drafter.ready.popleft(), texts[:count])
        del texts[:count]
