"""Runs a BERT: chunks of token ids in, their vectors out in order, on as many threads as its backend can use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from dpr_tiny_retriever.model.backends import choose_backend
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.threads import WorkerPool
from dpr_tiny_retriever.types import BackendName, Precision, Vectors


class Runner:
    """A BERT and the backend that runs it. Thread-safe. Pickles by choosing the backend again."""

    def __init__(
        self,
        config: BertConfig,
        weights: BertWeights,
        *,
        backend: BackendName = "auto",
        threads: int | None = None,
        device: str | None = None,
        precision: Precision = "float32",
    ) -> None:
        """The options are as in LoadOptions; raises as choose_backend."""
        options: dict[str, Any] = {"backend": backend, "threads": threads, "device": device, "precision": precision}
        self.precision: Precision = precision
        self.backend = choose_backend(config, weights, **options)
        self._embedding_dim = config.embedding_dim
        self._made_of = (config, weights), options

    def forward(self, tokens: Tokens, *, batch_size: int | None = None) -> Vectors:
        """Vectors [n, embedding_dim] of one chunk; batch_size is the most texts that a batch may hold."""
        parts = self.backend.split(tokens, batch_size)
        if len(parts) > 1:
            (vectors,) = self.forward_chunks([tokens], batch_size=batch_size)
            return vectors
        vectors = np.empty((len(tokens.lengths), self._embedding_dim), np.float32)
        with self.backend.running():
            for part in parts:  # in this thread: another would only cost time
                self.backend.run(part, vectors)
        return vectors

    def forward_chunks(
        self, chunks: Iterable[Tokens], *, batch_size: int | None = None, done: Callable[[int], object] = lambda _: None
    ) -> Iterator[Vectors]:
        """Yield the vectors [n, embedding_dim] of each chunk, in order, while the next one is worked on too.

        An error of chunks is raised when what came before it has been yielded. done is told of every few texts that
        are finished.
        """
        errors: list[Exception] = []
        in_flight: deque[tuple[Vectors, list[Future[int]]]] = deque()
        with self.backend.running(), WorkerPool(self.backend.workers) as pool:
            for tokens in _until_error(chunks, errors):
                vectors = np.empty((len(tokens.lengths), self._embedding_dim), np.float32)
                parts = self.backend.split(tokens, batch_size)
                in_flight.append((vectors, [pool.submit(partial(self.backend.run, part, vectors)) for part in parts]))
                if len(in_flight) == 2:
                    yield _finished(*in_flight.popleft(), done)
            while in_flight:
                yield _finished(*in_flight.popleft(), done)
        if errors:
            raise errors[0]

    def __reduce__(self) -> tuple[Callable[..., Runner], tuple[Any, ...]]:
        parts, options = self._made_of
        return partial(Runner, **options), parts


def _until_error(chunks: Iterable[Tokens], errors: list[Exception]) -> Iterator[Tokens]:
    """The chunks before the first that cannot be had; its error is appended."""
    try:
        yield from chunks
    except Exception as error:
        errors.append(error)


def _finished(vectors: Vectors, futures: list[Future[int]], done: Callable[[int], object]) -> Vectors:
    for future in futures:
        done(future.result())
    return vectors
