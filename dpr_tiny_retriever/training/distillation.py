"""A teacher's vectors of the training texts: computed once and kept on disk, or given; and what is learnt from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.data.records import DataError, Place, read_records
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.token_store import ExampleStore, Rows, TextStore
from dpr_tiny_retriever.types import Similarity, Vectors

SHARD = 4096  # texts: what a kill loses at most
_SAMPLE = 50_000  # vectors that the principal components are found from
_DIGESTED = 1000  # vectors of each side
_NEIGHBOURS_AT_ONCE = 1 << 24  # scores


@dataclass(frozen=True)
class Distillation:
    """Where the teacher's vectors come from: an encoder, computed into a folder, or a folder of given ones.

    given holds texts.jsonl or texts.jsonl.gz, one {"kind": "query" or "passage", "title", "text"} a line, and
    queries.npy and passages.npy, float16 or float32 [rows, t], in the order of the lines of each kind.
    """

    encoder: DualEncoder | None = None
    cache: Path | None = None
    given: Path | None = None

    def __post_init__(self) -> None:
        if (self.encoder is None) == (self.given is None):
            raise ValueError("found both an encoder and given vectors, or neither; expected one of them")

    def teacher(self, examples: ExampleStore, dim: int) -> Teacher:
        """The teacher for these examples, its vectors reduced to dim where they are wider."""
        if self.encoder is None:
            assert self.given is not None
            queries = _given(self.given, "query", examples.queries)
            passages = _given(self.given, "passage", examples.passages)
            unit = bool(np.allclose(np.linalg.norm(passages[:100].astype(np.float32), axis=1), 1, atol=1e-2))
            return Teacher(queries, passages, dim, "cosine" if unit else "dot")
        if self.cache is None:
            raise ValueError(
                "there is no cache for the teacher's vectors; expected a folder, so that a killed run resumes"
            )
        encoder, cache = self.encoder, self.cache
        vectors = (
            _computed(encoder, examples.queries, "query", cache),
            _computed(encoder, examples.passages, "passage", cache),
        )
        return Teacher(*vectors, dim, "cosine" if encoder.normalize else encoder.similarity)


class Teacher:
    """A teacher's vectors by the rows of the text stores, float16 on disk or in memory."""

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
        self.components = _components(queries, passages, dim) if width > dim else None  # [t, dim]
        self._narrow: Vectors | None = None

    def reduce_by(self, components: Vectors) -> None:
        """Reduce vectors by this projection [t, dim] from here on."""
        self.components = components
        self._narrow = None

    def queries(self, rows: Rows) -> Vectors:
        """Vectors [n, t] of queries."""
        return self._queries[rows].astype(np.float32)

    def passages(self, rows: Rows) -> Vectors:
        """Vectors [n, t] of passages."""
        return self._passages[rows].astype(np.float32)

    def digest(self) -> str:
        """A digest of some of the vectors, evenly spread, and of how they are reduced."""
        found = hashlib.blake2b(digest_size=16)
        for vectors in (self._queries, self._passages):
            found.update(vectors[:: max(1, len(vectors) // _DIGESTED)].tobytes())
        found.update(b"" if self.components is None else self.components.tobytes())
        return found.hexdigest()

    def reduced(self, vectors: Vectors) -> Vectors:
        """Vectors [n, dim] in the student's width."""
        return vectors if self.components is None else vectors @ self.components

    def nearest(self, rows: Rows, k: int) -> NDArray[np.int64]:
        """The k nearest passages of each of these passages [n, k], in no order, by their reduced vectors."""
        everything = self._narrow_passages()
        k = min(k, len(everything))
        size = max(1, _NEIGHBOURS_AT_ONCE // len(everything))
        found = []
        for start in range(0, len(rows), size):
            scores = everything[rows[start : start + size]] @ everything.T
            found.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
        return np.concatenate(found)

    def _narrow_passages(self) -> Vectors:
        """The reduced vectors of all passages, kept: every step looks through them."""
        if self._narrow is None:
            self._narrow = self.reduced(self.passages(np.arange(len(self._passages))))
            if self.similarity == "cosine":
                self._narrow /= np.maximum(np.linalg.norm(self._narrow, axis=1, keepdims=True), 1e-12)
        return self._narrow


def _components(queries: NDArray[np.floating], passages: NDArray[np.floating], dim: int) -> Vectors:
    """The dim directions [t, dim] that keep most of the vectors' dot products: of their second moments, uncentred."""
    rng = np.random.default_rng(0)
    moments = np.zeros((passages.shape[1], passages.shape[1]))
    for vectors in (queries, passages):
        rows = rng.permutation(len(vectors))[:_SAMPLE]
        sample = vectors[np.sort(rows)].astype(np.float32)
        moments += sample.T @ sample
    return np.ascontiguousarray(np.linalg.eigh(moments)[1][:, ::-1][:, :dim], np.float32)


def _computed(encoder: DualEncoder, texts: TextStore, side: str, cache: Path) -> NDArray[np.floating]:
    """Encode the texts in shards that a later run reads, and map them as one array."""
    one = encoder.query_encoder if side == "query" else encoder.passage_encoder
    folder = cache / one.fingerprint() / f"{side}-{texts.digest()}"
    whole = folder / "vectors.npy"
    if not whole.exists():
        with tqdm(total=len(texts), unit=" texts", desc=f"teacher, {side}", disable=len(texts) < SHARD) as progress:
            for start in range(0, len(texts), SHARD):
                rows = range(start, min(start + SHARD, len(texts)))
                path = folder / f"{start:010d}.npy"
                if not path.exists():
                    vectors = one.encode(texts.passages(rows), show_progress=False)
                    _write(path, vectors.astype(np.float16))
                progress.update(len(rows))
        shards = sorted(folder.glob("[0-9]*.npy"))
        empty = np.empty((0, one.embedding_dim), np.float16)
        _write(whole, np.concatenate([np.load(path) for path in shards] or [empty]))
        for path in shards:
            path.unlink()
    mapped: NDArray[np.floating] = np.load(whole, mmap_mode="r" if len(texts) else None)
    return mapped


def _write(path: Path, vectors: NDArray[np.floating]) -> None:
    with replaced_file(path) as part, part.open("wb") as file:
        np.save(file, vectors)


def _given(folder: Path, kind: str, texts: TextStore) -> NDArray[np.floating]:
    """The given vectors in the order of the store; raises DataError where a text has none."""
    name = {"query": "queries.npy", "passage": "passages.npy"}[kind]
    listed = next((path for path in (folder / "texts.jsonl", folder / "texts.jsonl.gz") if path.is_file()), None)
    if listed is None or not (folder / name).is_file():
        raise FileNotFoundError(f"{folder} lacks texts.jsonl or {name}; expected a folder of a teacher's vectors")
    vectors: NDArray[np.floating] = np.load(folder / name)
    numbers: dict[tuple[str, str], int] = {}
    for number, (title, text) in enumerate(_given_texts(listed, kind)):
        numbers.setdefault((title, text), number)
    if len(vectors) < len(numbers):
        raise DataError(listed, f"{name} has {len(vectors)} rows; expected one for each text of kind {kind!r}")
    rows = np.empty(len(texts), np.int64)
    for row, passage in enumerate(texts):
        found = numbers.get((passage.title or "", passage.text))
        if found is None:
            raise DataError(
                listed, f"no vector is given for {passage!r:.200}; expected one for every {kind} of the data"
            )
        rows[row] = found
    return vectors[rows]


def _given_texts(listed: Path, kind: str) -> Iterator[tuple[str, str]]:
    for place, record in read_records(listed):
        if record.get("kind") == kind:
            yield _text(record, place)


def _text(record: dict[str, object], place: Place) -> tuple[str, str]:
    title, text = record.get("title") or "", record.get("text")
    if not isinstance(title, str) or not isinstance(text, str):
        raise DataError(place, "found no title and text; expected two texts")
    return title, text
