"""How well a store ranks: its answers beside those of a comparison with every vector of the shards."""

from __future__ import annotations

import numpy as np

from dpr_tiny_retriever.corpus.shard_folder import ShardFolder
from dpr_tiny_retriever.corpus.stores.loading import VectorStore, usable_rows
from dpr_tiny_retriever.data.passage_store import blocks
from dpr_tiny_retriever.retrieval.nearest_neighbours import PASSAGE_BLOCK, TopK
from dpr_tiny_retriever.types import Vectors

#: Shards that a sample is taken from, evenly spread, so that a sample of a large corpus is not a reading of it all.
_SAMPLED_SHARDS = 32
#: Ranks beyond the last one asked for at which a score may equal that one's but for rounding.
_TIES = 20
_ROUNDING = 1e-5


def sample_vectors(folder: ShardFolder, count: int) -> Vectors:
    """At most count vectors [n, dim], float32, from evenly spread rows of up to 32 evenly spread shards."""
    records = [record for record in folder.manifest.shards if usable_rows(record)]
    step = max(1, -(-len(records) // _SAMPLED_SHARDS))
    chosen = records[::step]
    parts = [np.empty((0, folder.manifest.job.embedding_dim), np.float32)]
    left, rows_left = count, sum(map(usable_rows, chosen))
    for record in chosen:
        rows = usable_rows(record)
        share = min(rows, -(-left * rows // rows_left)) if rows_left else 0
        parts.append(folder.read(record, columns=()).vectors[np.linspace(0, rows - 1, share).round().astype(int)])
        left, rows_left = left - share, rows_left - rows
    return np.concatenate(parts)


def recall(folder: ShardFolder, store: VectorStore, queries: Vectors, k: int = 20) -> float:
    """The share of the k passages nearest to each of queries [q, dim] that a store finds, averaged over queries.

    The truth is every vector of the shards, compared in float32, by the dot product or the cosine as the model has it;
    a passage whose score equals that of rank k but for rounding counts as one of the k. Reads all shards, each in turn.
    """
    nearest = _Nearest(folder, queries, k)
    found = store.nearest(queries, nearest.k)
    shares = [
        len(allowed.intersection(ids)) / nearest.k for allowed, ids in zip(nearest.allowed_ids(), found, strict=True)
    ]
    return float(np.mean(shares))


def unit_length(vectors: Vectors) -> Vectors:
    """Vectors [n, dim] scaled to the length 1; zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


class _Nearest:
    """The exactly nearest passages of some queries."""

    def __init__(self, folder: ShardFolder, queries: Vectors, k: int) -> None:
        self._folder = folder
        total = sum(map(usable_rows, folder.manifest.shards))
        if not total or not len(queries):
            raise ValueError(f"{folder.path} has {total} vectors for {len(queries)} queries; expected some of both")
        self.k = min(k, total)
        by_cosine = folder.manifest.job.similarity == "cosine"
        best = TopK(len(queries), min(k + _TIES, total))
        compared, first = unit_length(queries) if by_cosine else queries, 0
        for shard in folder.shards(columns=()):
            vectors = unit_length(shard.vectors) if by_cosine else shard.vectors
            for part in blocks(len(vectors), PASSAGE_BLOCK):
                best.add(compared @ vectors[part].T, first + part.start)
            first += shard.num_rows
        self._hits = best.hits()

    def allowed_ids(self) -> list[set[str]]:
        """For each query the ids that may be among its k nearest."""
        lowest = self._hits.scores[:, self.k - 1 : self.k]
        counts = self._hits.scores >= lowest - _ROUNDING * np.abs(lowest)
        rows = np.where(counts, self._hits.rows, -1)
        ids: dict[int, str] = {}
        first = 0
        for shard in self._folder.shards(columns=()):
            here = np.unique(rows[(rows >= first) & (rows < first + shard.num_rows)])
            ids.update((row, shard.ids[row - first]) for row in here.tolist())
            first += shard.num_rows
        return [{ids[row] for row in some if row >= 0} for some in rows.tolist()]
