"""A folder with a FAISS index of the vectors, and their ids."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.corpus.manifest import Job, ShardRecord
from dpr_tiny_retriever.corpus.shard_folder import Shard, ShardFolder
from dpr_tiny_retriever.corpus.stores.loading import described, refuse_another_model, usable_rows
from dpr_tiny_retriever.corpus.stores.ranking import sample_vectors, unit_length
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.types import IndexKind, Vectors

#: What the folder holds: the index, a JSON string a row, and what the index is of.
INDEX, IDS, ABOUT = "index.faiss", "ids.jsonl", "about.json"
#: The index is saved after a shard where the shards since it was saved last took so many times as long as saving it.
_SHARE_OF_SAVING = 10
#: faiss wants 39 to 256 vectors a list to train on.
_TRAINED_PER_LIST = 64


class FaissFolder:
    """The row i of the index is the passage of line i of ids.jsonl.

    kind "exact" is a flat index, "ivf" inverted lists of vectors in int8 (a scalar quantizer), "hnsw" a graph. All
    compare by the inner product; where the model's similarity is the cosine, vectors are scaled to the length 1.
    Memory: the whole index. A faiss index gives no rows back: where shards have changed, it is built anew.
    """

    def __init__(self, path: str | os.PathLike[str], *, kind: IndexKind = "exact") -> None:
        """Raises ValueError for another kind, MissingExtraError without faiss; nothing is written or read yet."""
        self.path = Path(path)
        if kind not in get_args(IndexKind):
            raise ValueError(f"kind is {kind!r}; expected {', '.join(get_args(IndexKind))}")
        self.kind = kind
        self._faiss = _imported_faiss()
        self._index: Any = None
        self._about: dict[str, Any] = {}
        self._by_cosine = False
        self._saved_at = self._seconds_to_save = 0.0

    def prepare(self, folder: ShardFolder) -> None:
        """Begin the index, trained where its kind is, or read it; raises ValueError for one of other vectors."""
        job = folder.manifest.job
        self._by_cosine = job.similarity == "cosine"
        if (self.path / ABOUT).exists():
            self._about = self._read_about(job)
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            refuse_another_model(str(self.path), None, job)
        if (self.path / INDEX).exists() and self._about:
            self._read_index()
        else:
            self._about = {**described(job), "kind": self.kind, "shards": []}
            self._index = self._new_index(folder)
            self._save()
        self._saved_at = time.monotonic()

    def loaded(self) -> Mapping[int, str]:
        """The numbers and digests of the shards in the index."""
        return {shard["number"]: shard["digest"] for shard in self._about["shards"]}

    def remove(self, numbers: Collection[int]) -> None:
        """Take all rows out, of whatever shards: the index keeps only its training."""
        (self.path / INDEX).unlink()  # first: without it, a load that is killed here begins anew
        self._index.reset()
        self._about["shards"] = []
        self._save()

    def write(self, record: ShardRecord, shard: Shard) -> None:
        """Add the rows of a shard, and save the index when that is due."""
        with (self.path / IDS).open("ab") as file:
            file.write("".join(f"{json.dumps(id)}\n" for id in shard.ids).encode())
            size = file.tell()
        if shard.num_rows:
            self._index.add(self._compared(shard.vectors))
        entry = {"number": record.number, "digest": record.digest, "rows": int(self._index.ntotal), "bytes": size}
        self._about["shards"].append(entry)
        if time.monotonic() - self._saved_at > _SHARE_OF_SAVING * self._seconds_to_save:
            self._save()

    def finish(self) -> None:
        """Save the index."""
        self._save()

    def count(self) -> int:
        """How many rows there are."""
        return int(self._index.ntotal)

    def nearest(self, queries: Vectors, k: int) -> list[list[str]]:
        """The ids of the k rows nearest to each of queries [q, dim], best first."""
        _, rows = self._index.search(self._compared(queries), k)
        wanted, ids = set(rows.ravel().tolist()), {}
        with (self.path / IDS).open(encoding="utf-8") as lines:
            ids = {row: json.loads(line) for row, line in enumerate(lines) if row in wanted}
        return [[ids[row] for row in found if row >= 0] for found in rows.tolist()]

    def close(self) -> None:
        """Let go of the index."""
        self._index = None

    def _read_about(self, job: Job) -> dict[str, Any]:
        about = _checked_about(self.path / ABOUT)
        refuse_another_model(str(self.path), about, job)
        if about["kind"] != self.kind:
            raise ValueError(
                f"{self.path} holds an index of the kind {about['kind']!r}; expected {self.kind!r}: choose another "
                "folder, or that kind"
            )
        return about

    def _read_index(self) -> None:
        """Read the index, and let go of what stands in the other files of shards that are not in it yet."""
        try:
            self._index = self._faiss.read_index(os.fspath(self.path / INDEX))
        except RuntimeError as error:
            raise ValueError(f"{self.path / INDEX} is damaged ({error}); delete the folder and load again") from None
        shards = self._about["shards"]
        while shards and shards[-1]["rows"] > self._index.ntotal:
            shards.pop()
        rows, size = (shards[-1]["rows"], shards[-1]["bytes"]) if shards else (0, 0)
        if rows != self._index.ntotal or self._index.d != self._about["embedding_dim"]:
            raise ValueError(
                f"{self.path / INDEX} has {self._index.ntotal} vectors of {self._index.d} floats; expected {rows} of "
                f"{self._about['embedding_dim']}: it is damaged, delete the folder and load again"
            )
        os.truncate(self.path / IDS, size)

    def _new_index(self, folder: ShardFolder) -> Any:
        faiss, dim = self._faiss, folder.manifest.job.embedding_dim
        if self.kind == "exact":
            return faiss.IndexFlatIP(dim)
        if self.kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction, index.hnsw.efSearch = 200, 128
            return index
        # faiss recommends 4 * sqrt(n) lists; 1 list in 16 is searched.
        rows = sum(map(usable_rows, folder.manifest.shards))
        lists = max(1, min(rows // 39, int(4 * rows**0.5)))
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.nprobe = max(1, lists // 16)
        sample = sample_vectors(folder, lists * _TRAINED_PER_LIST)
        if not len(sample):
            raise ValueError(f"{folder.path} has no vectors yet; expected some, which an index of the kind ivf needs")
        index.train(self._compared(sample))
        return index

    def _compared(self, vectors: Vectors) -> Vectors:
        return np.ascontiguousarray(unit_length(vectors) if self._by_cosine else vectors)

    def _save(self) -> None:
        """Ids and shards first, then the index: what the index holds says how much of the others counts."""
        start = time.monotonic()
        self.path.mkdir(parents=True, exist_ok=True)
        size = self._about["shards"][-1]["bytes"] if self._about["shards"] else 0
        with (self.path / IDS).open("ab") as file:
            file.truncate(size)
            os.fsync(file.fileno())
        with replaced_file(self.path / ABOUT) as part:
            part.write_text(json.dumps(self._about, indent=1), encoding="utf-8", newline="\n")
        with replaced_file(self.path / INDEX) as part:
            self._faiss.write_index(self._index, os.fspath(part))
        self._saved_at = time.monotonic()
        self._seconds_to_save = self._saved_at - start


def read_ids(path: str | os.PathLike[str]) -> Iterator[str]:
    """The ids of the rows of an index, in their order; path is that of the folder."""
    with (Path(path) / IDS).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _checked_about(path: Path) -> dict[str, Any]:
    """Read a description; raises ValueError that names the file if it is damaged."""
    try:
        about: dict[str, Any] = json.loads(path.read_bytes())
        numbers = [about["embedding_dim"]]
        for shard in about["shards"]:
            numbers += [shard["number"], shard["rows"], shard["bytes"]]
        is_sound = all(type(number) is int and number >= 0 for number in numbers)
        is_sound &= all(isinstance(text, str) for text in [about["kind"], *(one["digest"] for one in about["shards"])])
    except (ValueError, LookupError, TypeError, RecursionError):
        is_sound = False
    if not is_sound:
        raise ValueError(f"{path} is damaged; delete the folder and load again")
    return about


def _imported_faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtraError(
            'a FAISS index needs faiss, which is not installed; run: pip install "dpr-tiny-retriever[faiss]"'
        ) from None
    return faiss
