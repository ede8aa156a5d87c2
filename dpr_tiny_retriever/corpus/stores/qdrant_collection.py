"""A collection of Qdrant, on a server or in a folder of this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Any, Literal, get_args

from dpr_tiny_retriever.corpus.manifest import Job, ShardRecord
from dpr_tiny_retriever.corpus.shard_folder import Shard, ShardFolder
from dpr_tiny_retriever.corpus.stores.loading import described, refuse_another_model, usable_rows
from dpr_tiny_retriever.data.passage_store import blocks
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.types import Vectors

CollectionKind = Literal["exact", "hnsw"]
VectorType = Literal["float32", "float16"]

#: The fields that every point's payload has; those that were carried along stand beside them by their own names.
ID, SHARD = "id", "_shard"
_ABOUT = "dpr-tiny"
#: Points sent at once.
_BATCH = 1000
#: More shards than a collection has.
_ALL_SHARDS = 1_000_000


class QdrantCollection:
    """A point for each passage: its UUID is the digest of its id, its payload the id and what was carried along.

    kind "hnsw" lets the server build its graph, "exact" tells it not to, so that questions are compared with every
    point; a folder of this machine is always exact, and meant for some ten thousands of points. dtype "float16" halves
    the server's memory. What is written twice replaces itself.
    """

    def __init__(
        self,
        address: str | os.PathLike[str],
        collection: str = "passages",
        *,
        dtype: VectorType = "float32",
        kind: CollectionKind = "hnsw",
    ) -> None:
        """Connect to a server ("http://localhost:6333"; QDRANT_API_KEY holds the key), or open or begin a folder.

        Raises ValueError for wrong options, OSError where another process has the folder open, MissingExtraError
        without qdrant-client.
        """
        if kind not in get_args(CollectionKind):
            raise ValueError(f"kind is {kind!r}; Qdrant has {' and '.join(get_args(CollectionKind))}")
        if dtype not in get_args(VectorType):
            raise ValueError(f"dtype is {dtype!r}; Qdrant has {' and '.join(get_args(VectorType))}")
        self._qdrant = _imported_qdrant()
        self._models = self._qdrant.models
        self._name, self._kind, self._dtype = collection, kind, dtype
        self._is_server = str(address).startswith(("http://", "https://"))
        try:
            if self._is_server:
                key = os.environ.get("QDRANT_API_KEY") or None
                self._client = self._qdrant.QdrantClient(url=str(address), api_key=key, timeout=120)
            else:
                self._client = self._qdrant.QdrantClient(path=os.fspath(address))
        except RuntimeError as error:
            raise OSError(f"{address} cannot be opened: {error}") from None

    def prepare(self, folder: ShardFolder) -> None:
        """Make the collection, or raise ValueError where there is one that holds other vectors."""
        job, models = folder.manifest.job, self._models
        if taken := {ID, SHARD} & set(job.keep):
            raise ValueError(
                f"a column is called {min(taken)!r}, as one of the payload's own; encode it by another name"
            )
        if self._client.collection_exists(self._name):
            self._check_collection(job)
            return
        self._client.create_collection(
            self._name,
            vectors_config=models.VectorParams(
                size=job.embedding_dim, distance=self._distance(job), datatype=models.Datatype(self._dtype)
            ),
            hnsw_config=models.HnswConfigDiff(m=0) if self._kind == "exact" else None,
            metadata={_ABOUT: described(job)},
        )
        if self._is_server:  # a folder has no indexes
            self._client.create_payload_index(self._name, SHARD, models.PayloadSchemaType.KEYWORD)

    def loaded(self) -> Mapping[int, str]:
        """The numbers and digests of the shards of which all points are in the collection."""
        found = {}
        for hit in self._client.facet(self._name, SHARD, limit=_ALL_SHARDS, exact=True).hits:
            number, rows, digest = str(hit.value).split(":")
            # A shard that is there in part has another digest than any: its points are taken out, and written again.
            found[int(number)] = digest if int(rows) == hit.count else "incomplete"
        return found

    def remove(self, numbers: Collection[int]) -> None:
        """Delete the points of some shards."""
        chosen = [
            str(hit.value)
            for hit in self._client.facet(self._name, SHARD, limit=_ALL_SHARDS, exact=True).hits
            if int(str(hit.value).split(":")[0]) in numbers
        ]
        models = self._models
        condition = models.FieldCondition(key=SHARD, match=models.MatchAny(any=chosen))
        self._client.delete(self._name, models.FilterSelector(filter=models.Filter(must=[condition])), wait=True)

    def write(self, record: ShardRecord, shard: Shard) -> None:
        """Send a shard's points, a thousand at a time."""
        mark = f"{record.number}:{usable_rows(record)}:{record.digest}"
        for rows in blocks(shard.num_rows, _BATCH):
            ids = shard.ids[rows]
            carried = {name: values[rows] for name, values in shard.columns.items()}
            payloads: list[dict[str, Any]] = [
                {ID: id, SHARD: mark, **{name: values[row] for name, values in carried.items()}}
                for row, id in enumerate(ids)
            ]
            points = self._models.Batch(
                ids=[point_id(id) for id in ids], vectors=shard.vectors[rows].tolist(), payloads=payloads
            )
            self._client.upsert(self._name, points, wait=True)

    def finish(self) -> None:
        """Nothing is left to do: a server goes on to build its graph by itself."""

    def count(self) -> int:
        """How many points there are."""
        return int(self._client.count(self._name, exact=True).count)

    def nearest(self, queries: Vectors, k: int) -> list[list[str]]:
        """The ids of the k points nearest to each of queries [q, dim], best first."""
        models = self._models
        # A folder is always searched exactly.
        parameters = models.SearchParams(exact=self._kind == "exact") if self._is_server else None
        requests = [
            models.QueryRequest(query=query, limit=k, params=parameters, with_payload=[ID])
            for query in queries.tolist()
        ]
        found: list[list[str]] = []
        for rows in blocks(len(requests), 64):
            answers = self._client.query_batch_points(self._name, requests[rows])
            found += [[point.payload[ID] for point in answer.points] for answer in answers]
        return found

    def close(self) -> None:
        """Close the connection, or the folder."""
        self._client.close()

    def _check_collection(self, job: Job) -> None:
        config = self._client.get_collection(self._name).config
        store = f"the collection {self._name}"
        vectors = config.params.vectors
        if not isinstance(vectors, self._models.VectorParams):
            raise ValueError(f"{store} has several vectors a point, or none; expected one: choose another name")
        if vectors.size != job.embedding_dim or vectors.distance != self._distance(job):
            raise ValueError(
                f"{store} holds vectors of {vectors.size} floats, compared by {vectors.distance.value}; expected "
                f"{job.embedding_dim}, compared by {self._distance(job).value}: choose another name"
            )
        refuse_another_model(store, (config.metadata or {}).get(_ABOUT), job)

    def _distance(self, job: Job) -> Any:
        return self._models.Distance.COSINE if job.similarity == "cosine" else self._models.Distance.DOT


def point_id(id: str) -> str:
    """The UUID of a passage's point; Qdrant takes no other text for an id."""
    return str(uuid.UUID(bytes=blake2b(id.encode(), digest_size=16).digest()))


def _imported_qdrant() -> Any:
    try:
        import qdrant_client
    except ImportError:
        raise MissingExtraError(
            'Qdrant needs qdrant-client, which is not installed; run: pip install "dpr-tiny-retriever[qdrant]"'
        ) from None
    return qdrant_client
