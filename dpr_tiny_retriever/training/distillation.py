"""A teacher's vectors of the training texts: computed once and kept on disk, or precomputed elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import read_records
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.retrieval.embedding_cache import EmbeddingCache
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows
from dpr_tiny_retriever.types import Similarity, Vectors

_SAMPLE = 50_000  # vectors of each side that the principal components are found from
_DIGESTED = 1000  # vectors of each side


@dataclass(frozen=True)
class Distillation:
    """Where the teacher's vectors come from: an encoder, whose vectors are kept in a folder, or precomputed ones.

    precomputed is a folder with texts.jsonl or texts.jsonl.gz, one {"kind": "query" or "passage", "title", "text"} a
    line, and queries.npy and passages.npy, float16 or float32 [rows, t], in the order of the lines of each kind.
    """

    encoder: DualEncoder | None = None
    cache: Path | None = None
    precomputed: Path | None = None

    def __post_init__(self) -> None:
        if (self.encoder is None) == (self.precomputed is None):
            raise ValueError("found both an encoder and precomputed vectors, or neither; expected one of them")
        if self.encoder is not None and self.cache is None:
            raise ValueError(
                "found no cache for the teacher's vectors; expected a folder, so that a killed run resumes"
            )

    def teacher(self, examples: ExampleStore, dim: int) -> Teacher:
        """The teacher for these examples, its vectors reduced to dim where they are wider."""
        passages = examples.passages.passages
        of_queries = self.query_vectors(examples.queries.passages)
        if self.encoder is None:
            assert self.precomputed is not None
            of_passages = _precomputed(self.precomputed, "passage", passages)
            norms = np.linalg.norm(of_passages[:100].astype(np.float32), axis=1)
            similarity: Similarity = "cosine" if np.allclose(norms, 1, atol=1e-2) else "dot"
            return Teacher(of_queries, of_passages, dim, similarity)
        cache = EmbeddingCache(self.cache, dtype=np.float16)
        of_passages = cache.texts(self.encoder.passage_encoder, passages, label="teacher, passages")
        return Teacher(of_queries, of_passages, dim, "cosine" if self.encoder.normalize else self.encoder.similarity)

    def query_vectors(self, queries: PassageStore) -> NDArray[np.floating]:
        """The teacher's vectors [n, t] of queries, in their order; raises DataError where a precomputed one lacks."""
        if self.encoder is None:
            assert self.precomputed is not None
            return _precomputed(self.precomputed, "query", queries)
        cache = EmbeddingCache(self.cache, dtype=np.float16)
        return cache.texts(self.encoder.query_encoder, queries, label="teacher, queries")

    def description(self) -> str:
        """The teacher in a few words, for the model card."""
        if self.encoder is None:
            return "precomputed vectors"
        encoder = self.encoder.query_encoder
        return f"vectors of {encoder.embedding_dim} numbers by the model with the digest {encoder.fingerprint()[:12]}"


class Teacher:
    """A teacher's vectors by the rows of the token stores, float16 on disk or in memory."""

    def __init__(
        self, queries: NDArray[np.floating], passages: NDArray[np.floating], dim: int, similarity: Similarity
    ) -> None:
        """Find the principal components, if the vectors [rows, t] are wider than dim."""
        width = passages.shape[1]
        if width < dim:
            raise ValueError(
                f"the teacher's vectors have {width} numbers, the student's {dim}; expected a teacher at least as wide"
            )
        self.similarity: Similarity = similarity
        self._queries = queries
        self._passages = passages
        self.components = _principal_components(queries, passages, dim) if width > dim else None  # [t, dim]

    def queries(self, rows: Rows) -> Vectors:
        """Vectors [n, t] of queries."""
        return self._queries[rows].astype(np.float32)

    def passages(self, rows: Rows) -> Vectors:
        """Vectors [n, t] of passages."""
        return self._passages[rows].astype(np.float32)

    @property
    def num_passages(self) -> int:
        """How many passages there are vectors of."""
        return len(self._passages)

    def reduced(self, vectors: Vectors) -> Vectors:
        """Vectors [n, dim] in the student's width."""
        return vectors if self.components is None else vectors @ self.components

    def digest(self) -> str:
        """A digest of some of the vectors, evenly spread, and of how they are reduced."""
        digest = hashlib.blake2b(digest_size=16)
        for vectors in (self._queries, self._passages):
            digest.update(vectors[:: max(1, len(vectors) // _DIGESTED)].tobytes())
        digest.update(b"" if self.components is None else self.components.tobytes())
        return digest.hexdigest()


def _principal_components(queries: NDArray[np.floating], passages: NDArray[np.floating], dim: int) -> Vectors:
    """The dim directions [t, dim] that keep most of the vectors' dot products: of their second moments, uncentered."""
    rng = np.random.default_rng(0)
    moments = np.zeros((passages.shape[1], passages.shape[1]))
    for vectors in (queries, passages):
        rows = rng.permutation(len(vectors))[:_SAMPLE]
        sample = vectors[np.sort(rows)].astype(np.float32)
        moments += sample.T @ sample
    return np.ascontiguousarray(np.linalg.eigh(moments)[1][:, ::-1][:, :dim], np.float32)


def _precomputed(folder: Path, kind: Literal["query", "passage"], texts: PassageStore) -> NDArray[np.floating]:
    """The precomputed vectors in the order of the store; raises DataError where a text has none."""
    name = {"query": "queries.npy", "passage": "passages.npy"}[kind]
    listed = next((path for path in (folder / "texts.jsonl", folder / "texts.jsonl.gz") if path.is_file()), None)
    if listed is None or not (folder / name).is_file():
        raise FileNotFoundError(f"{folder} lacks texts.jsonl or {name}; expected a folder of a teacher's vectors")
    vectors: NDArray[np.floating] = np.load(folder / name, allow_pickle=False)
    numbers: dict[tuple[str, str], int] = {}
    for number, content in enumerate(_listed_texts(listed, kind)):
        numbers.setdefault(content, number)
    if len(vectors) < len(numbers):
        raise DataError(listed, f"{name} has {len(vectors)} rows; expected one for each text of kind {kind!r}")
    rows = np.empty(len(texts), np.int64)
    for row, passage in enumerate(texts):
        known = numbers.get((passage.title or "", passage.text))
        if known is None:
            raise DataError(listed, f"found no vector for {passage!r:.200}; expected one for every {kind} of the data")
        rows[row] = known
    return vectors[rows]


def _listed_texts(listed: Path, kind: str) -> Iterator[tuple[str, str]]:
    for place, record in read_records(listed):
        title, text = record.get("title") or "", record.get("text")
        if record.get("kind") != kind:
            continue
        if not isinstance(title, str) or not isinstance(text, str):
            raise DataError(place, "found no title and text; expected two texts")
        yield title, text
