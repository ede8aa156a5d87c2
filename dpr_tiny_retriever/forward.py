"""Token ids -> vectors: in numpy for few, in a TensorFlow graph over many threads for the rest."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.architecture import BertConfig, BertWeights
from dpr_tiny_retriever.batching import Batch, batches
from dpr_tiny_retriever.light import LightBert
from dpr_tiny_retriever.presets import Precision
from dpr_tiny_retriever.tokenization import Tokens

Vectors: TypeAlias = NDArray[np.float32]

logger = logging.getLogger(__name__)

#: Padded tokens in one batch: enough that a call's own cost does not count, few enough to stay in a processor's cache.
#: The first number is of two layers of width 128, the second the least.
_TOKENS, _LEAST_TOKENS = 8192, 3072
#: Up to so many tokens at once numpy is as fast as the graph; up to the second number, in larger pieces and all
#: together, faster than importing TensorFlow. Both are of two layers of width 128; more arithmetic a token lowers them.
#: The second is far below where the two meet on an idle machine: beside other work numpy's threads wait for each other.
_FEW, _FEW_AT_FIRST = 512, 8192
_THEIR_COST = 2 * 128**2
#: One more than processors, so that none is idle while a stream readies its next batch.
_STREAMS = min((os.cpu_count() or 1) + 1, 9)


class Forward:
    """The forward pass of one BERT, on whichever of two implementations is faster for the work.

    Thread-safe. TensorFlow is imported, and the graph made, when the first work is large enough for it.
    """

    def __init__(
        self,
        config: BertConfig,
        weights: BertWeights,
        *,
        device: str | None = None,
        precision: Precision = "float32",
    ) -> None:
        """device, by TensorFlow's name for it (None: TensorFlow chooses), and precision are those of the graph."""
        if precision not in get_args(Precision):
            raise ValueError(f"precision is {precision!r}; expected {' or '.join(map(repr, get_args(Precision)))}")
        if config.pooling == "pooler" and weights.pooler is None:
            raise ValueError("pooling is 'pooler', but these weights have none; expected one, or 'cls' or 'mean'")
        self._config = config
        self._weights = weights
        self.device = device
        self.precision: Precision = precision
        self._light = LightBert(config, weights)
        self._cost = max(config.num_hidden_layers, 1) * config.hidden_size**2 / _THEIR_COST
        self._token_budget = max(int(_TOKENS / self._cost), _LEAST_TOKENS)
        self._graph: Any = None
        self._so_far = 0.0
        self._lock = threading.Lock()

    def encode(self, tokens: Tokens, *, batch_size: int | None = None) -> Vectors:
        """Vectors [n, embedding_dim] of one chunk."""
        if self._is_little(tokens):
            return self._few(tokens)
        (vectors,) = self([tokens], batch_size=batch_size)
        return vectors

    def __call__(
        self, chunks: Iterable[Tokens], *, batch_size: int | None = None, done: Callable[[int], object] = lambda _: None
    ) -> Iterator[Vectors]:
        """Yield the vectors [n, embedding_dim] of each chunk, in order, while further ones are made ready.

        Two chunks are worked on at once. batch_size is the most texts that a batch may hold; done is told of every
        few texts that are finished.
        """
        underway: deque[tuple[Vectors, list[Future[int]]]] = deque()
        pool: ThreadPoolExecutor | None = None
        try:
            for tokens in chunks:
                if self._is_little(tokens):
                    vectors, futures = self._few(tokens), []
                    done(len(vectors))
                else:
                    pool = pool or ThreadPoolExecutor(_STREAMS, thread_name_prefix="dpr-tiny")
                    vectors = np.empty((len(tokens.lengths), self._config.embedding_dim), np.float32)
                    work = functools.partial(_encode_into, vectors, self.graph())
                    cut = self.batches(tokens, batch_size)
                    futures = [pool.submit(work, batch) for batch in cut]
                underway.append((vectors, futures))
                if len(underway) == 2:
                    yield _finished(*underway.popleft(), done)
            while underway:
                yield _finished(*underway.popleft(), done)
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def batches(self, tokens: Tokens, batch_size: int | None = None) -> Iterator[Batch]:
        """The batches in which the graph is given a chunk."""
        limit = self._config.max_position_embeddings
        return batches(tokens, limit=limit, token_budget=self._token_budget, batch_size=batch_size)

    def graph(self) -> Any:
        """The graph for every batch size and length, made once: bert.encode with the weights held as constants."""
        if self._graph is None:
            with self._lock:
                if self._graph is None:
                    self._graph = _compile(self._config, self._weights, self.device, self.precision)
        return self._graph

    def _is_little(self, tokens: Tokens) -> bool:
        """Whether numpy takes no longer, what has to be loaded for the graph included."""
        cost = len(tokens.ids) * self._cost
        return cost <= _FEW or (self._graph is None and self._so_far + cost <= _FEW_AT_FIRST)

    def _few(self, tokens: Tokens) -> Vectors:
        cost = len(tokens.ids) * self._cost
        if cost > _FEW:
            self._so_far += cost
        return self._light.encode(tokens)


def _encode_into(vectors: Vectors, graph: Any, batch: Batch) -> int:
    vectors[batch.rows] = graph(batch.token_ids, batch.lengths, batch.text_starts)
    return len(batch.rows)


def _finished(vectors: Vectors, futures: list[Future[int]], done: Callable[[int], object]) -> Vectors:
    for future in futures:
        done(future.result())
    return vectors


def _compile(config: BertConfig, weights: BertWeights, device: str | None, precision: Precision) -> Any:
    import tensorflow as tf

    from dpr_tiny_retriever.bert import encode

    def placed() -> AbstractContextManager[Any]:
        return tf.device(device) if device else nullcontext()

    if precision == "bfloat16" and _lacks_bfloat16():
        logger.warning("this processor has no instructions for bfloat16; float32 is faster here")
    with placed():
        constants = tf.nest.map_structure(
            lambda array: None if array is None else tf.cast(tf.constant(array), precision), weights
        )
    ids, counts = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)

    @tf.function(input_signature=[ids, counts, counts], autograph=False)  # type: ignore[untyped-decorator]
    def forward(token_ids: Any, lengths: Any, text_starts: Any) -> Any:
        with placed():
            return tf.cast(encode(constants, config, token_ids, lengths, text_starts), tf.float32)

    # Traced here and once: TensorFlow takes the first calls of several encoders for one that retraces, and warns.
    forward.get_concrete_function()
    return forward


def _lacks_bfloat16() -> bool:
    """Whether Linux lists the processor's instructions, and none of them is for bfloat16."""
    listed = Path("/proc/cpuinfo")
    return listed.exists() and "bf16" not in listed.read_text()
