"""Folders of shards with vectors made up, as `dpr-tiny encode` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever.corpus.manifest import (
    Job,
    Manifest,
    ShardRecord,
    finished_shards,
    shard_name,
    write_manifest,
    write_shard_record,
)
from dpr_tiny_retriever.corpus.rows import DIGEST_SIZE, BadRow
from dpr_tiny_retriever.corpus.shard_folder import ShardFolder, file_digest
from dpr_tiny_retriever.corpus.shards import ShardRows, write_rows

DIM = 16
JOB = Job(
    fingerprint="0123456789abcdef",
    model="a-model",
    max_length=256,
    prompt="",
    embedding_dim=DIM,
    similarity="dot",
    dtype="float32",
    format="npy",
    rows_per_shard=100,
    fields={"id": None, "title": None, "text": None},
    keep=("title", "text", "year"),
)


def rows_of(ids: Sequence[str], *, seed: int = 0, dim: int = DIM, bad: Sequence[str] = ()) -> ShardRows:
    """Rows with a vector that depends on the id and the seed alone, a title, a text and a year."""
    vectors = np.stack([np.random.default_rng([seed, *id.encode()]).normal(size=dim) for id in ids]).astype(np.float32)
    carried: dict[str, list[Any]] = {
        "title": [f"Title {id}" for id in ids],
        "text": [f"Text of passage {id}." for id in ids],
        "year": [1900 + len(id) for id in ids],
    }
    return ShardRows(list(ids), [bytes(DIGEST_SIZE)] * len(ids), [id in bad for id in ids], vectors, carried)


def write_folder(path: Path, shards: Sequence[ShardRows], job: Job = JOB) -> ShardFolder:
    """Write shards and manifest; shards of a folder that is there are replaced."""
    path.mkdir(exist_ok=True)
    first = 0
    for number, rows in enumerate(shards):
        carried = {name: rows.carried[name] for name in job.keep}
        vectors = rows.vectors.astype(job.dtype)
        files = write_rows(path, shard_name(number), replace(rows, vectors=vectors, carried=carried), job.format)
        paths = [path / name for name in files]
        bad = [BadRow(id, id, "too bad") for id, is_bad in zip(rows.ids, rows.is_bad, strict=True) if is_bad]
        size = sum(file.stat().st_size for file in paths)
        write_shard_record(
            path, ShardRecord(number, files, first, len(rows.ids), size, file_digest(paths), "content", bad)
        )
        first += len(rows.ids)
    write_manifest(path, Manifest(job, [], first, finished_shards(path)))
    return ShardFolder(path)


def ids(start: int, stop: int) -> list[str]:
    """The ids of passages start to stop - 1."""
    return [f"p{number}" for number in range(start, stop)]


def exact_ids(folder: ShardFolder, queries: np.ndarray[Any, Any], k: int) -> list[list[str]]:
    """What a comparison with every vector finds."""
    shards = list(folder.shards())
    vectors = np.concatenate([shard.vectors for shard in shards]).astype(np.float64)
    names = [id for shard in shards for id in shard.ids]
    if folder.manifest.job.similarity == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [[names[row] for row in np.argsort(-(vectors @ query), kind="stable")[:k]] for query in queries]
