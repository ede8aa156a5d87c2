"""Vectors on disk, named by what made them: the model's content and the texts' content.

A corpus is encoded in shards. Each is one .npy file under the model's fingerprint, named by a digest of its
passages and put in place whole; so a killed run goes on where it stopped, the next run reads, and a corpus
that shares files with another shares their shards.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.data.passage_store import PassageStore, UniquePassages, blocks
from dpr_tiny_retriever.progress import progress_bar
from dpr_tiny_retriever.types import Vectors

if TYPE_CHECKING:
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.encoder import Encoder

logger = logging.getLogger(__name__)

SHARD_SIZE = 2048  # passages: what a kill loses at most


class EmbeddingCache:
    """Encodes queries and corpora through a folder of shards.

    With no folder nothing is kept. A folder that cannot be written to costs a warning, not the vectors.
    """

    def __init__(
        self, directory: Path | None, *, shard_size: int = SHARD_SIZE, dtype: type[np.floating] = np.float32
    ) -> None:
        """dtype is that of the vectors, kept and returned: np.float16 takes half the space."""
        self.directory = directory
        self.shard_size = shard_size
        self.dtype = np.dtype(dtype)
        self._is_writable = True

    def queries(self, encoder: DualEncoder, queries: list[str], *, batch_size: int | None = None) -> Vectors:
        """Return the vectors [q, dim] of the queries."""
        folder = self._folder(encoder.query_encoder)
        vectors = np.empty((len(queries), encoder.embedding_dim), self.dtype)
        for part in blocks(len(queries), self.shard_size):
            content = "\0".join(f"{len(query)} {query}" for query in queries[part]).encode()
            encode = partial(encoder.encode_queries, queries[part], batch_size=batch_size, show_progress=False)
            name = "query-" + hashlib.blake2b(content, digest_size=16).hexdigest()
            vectors[part] = self._load_or_encode(folder, name, vectors[part].shape, encode)
        return vectors

    def passages(
        self,
        encoder: DualEncoder,
        corpus: PassageStore,
        unique: UniquePassages,
        *,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> Vectors:
        """Return the vectors [u, dim] of the unique passages of a corpus."""
        folder = self._folder(encoder.passage_encoder)
        vectors = np.empty((len(unique.first), encoder.embedding_dim), self.dtype)
        with progress_bar(total=len(vectors), unit=" passages", show_progress=show_progress) as progress:
            for part in _shards(unique, corpus.parts(), self.shard_size):
                rows = unique.first[part]
                texts = corpus.passages(rows)
                encode = partial(encoder.encode_passages, texts, batch_size=batch_size, show_progress=False)
                name = "passage-" + corpus.digest(rows)
                vectors[part] = self._load_or_encode(folder, name, vectors[part].shape, encode)
                progress.update(len(rows))
        return vectors

    def texts(self, encoder: Encoder, texts: PassageStore, *, label: str) -> NDArray[np.floating]:
        """Return the vectors [n, dim] of all rows of a store by one side of a pair, mapped from a temporary file."""
        folder = self._folder(encoder)
        vectors = _temporary_array((len(texts), encoder.embedding_dim), self.dtype)
        with progress_bar(total=len(texts), unit=" texts", show_progress=None, description=label) as progress:
            for part in blocks(len(texts), self.shard_size):
                rows = np.arange(part.start, part.stop)
                encode = partial(encoder.encode, texts.passages(rows), show_progress=False)
                name = "passage-" + texts.digest(rows)
                vectors[part] = self._load_or_encode(folder, name, vectors[part].shape, encode)
                progress.update(len(rows))
        return vectors

    def _folder(self, encoder: Encoder) -> Path | None:
        return None if self.directory is None else self.directory / encoder.fingerprint()

    def _load_or_encode(
        self, folder: Path | None, name: str, shape: tuple[int, ...], encode: Callable[[], Vectors]
    ) -> NDArray[np.floating]:
        if folder is None:
            return encode().astype(self.dtype)
        path = folder / f"{name}{'' if self.dtype == np.float32 else f'-{self.dtype.name}'}.npy"
        try:
            vectors: NDArray[np.floating] = np.load(path, allow_pickle=False)
            if vectors.shape == shape and vectors.dtype == self.dtype:
                return vectors
        except (OSError, ValueError, EOFError):
            pass  # missing, or damaged by something else: encoded again below
        vectors = encode().astype(self.dtype)
        if self._is_writable:
            try:
                with replaced_file(path) as part, part.open("wb") as file:
                    np.save(file, vectors)
            except OSError as error:
                self._is_writable = False
                logger.warning("embeddings are not cached in %s: %s", self.directory, error)
        return vectors


def _temporary_array(shape: tuple[int, int], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    if 0 in shape:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _shards(unique: UniquePassages, part_starts: list[int], size: int) -> Iterator[slice]:
    """Slices of the unique passages that cross no boundary between the corpus's files."""
    bounds = [*np.searchsorted(unique.first, part_starts).tolist(), len(unique.first)]
    for start, stop in itertools.pairwise(bounds):
        for part in blocks(stop - start, size):
            yield slice(start + part.start, start + part.stop)
