"""Token ids -> vectors, on whichever of three implementations is the fastest for the work: see Forward."""

from __future__ import annotations

import functools
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from glob import glob
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np

from dpr_tiny_retriever.model.batching import PaddedBatch, TokenBatch, TokenSlice, padded_batches, token_slices
from dpr_tiny_retriever.model.bert_native import NativeBert, fitting_builds, preferred_over_numpy, unsupported
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import BackendName, Precision, Vectors

logger = logging.getLogger(__name__)

#: What is worth so much arithmetic (BertConfig.relative_cost): padded tokens in one batch, enough that a call's own
#: cost does not count, few enough to stay in a processor's cache. The second number is the least.
_TOKENS, _LEAST_TOKENS = 8192, 3072
#: Up to so many tokens at once numpy is as fast as the graph; up to the second number, in larger pieces and all
#: together, faster than importing TensorFlow. The second is far below where the two meet on an idle machine: beside
#: other work numpy's threads wait for each other.
_FEW, _FEW_AT_FIRST = 512, 8192
#: Tokens that the compiled library is given at once, some milliseconds of work, and the least of them; up to so many
#: are not worth a second thread.
_PIECE, _LEAST_PIECE = 2048, 512
#: Where Linux shows a GPU: Nvidia's, AMD's, and that of the Windows around it.
_GPUS = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")
_CPU = re.compile(r"(.*/)?(device:)?cpu(:0)?", re.IGNORECASE)

#: Part of a chunk for one thread: it writes its vectors, and returns how many.
_Task: TypeAlias = Callable[[], int]


class Forward:
    """The forward pass of one BERT.

    In float32 on a CPU all is done by the compiled library, where one fits the processor and the model. Elsewhere numpy
    encodes few texts, and a TensorFlow graph many. What is meant for another device, or for half precision, is the
    graph's, but for few texts. Thread-safe. TensorFlow is imported, and the graph made, when it first has work.
    """

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
        """device, by TensorFlow's name (None: a GPU if TensorFlow sees one), and precision are for many texts."""
        if precision not in get_args(Precision):
            raise ValueError(f"precision is {precision!r}; expected {' or '.join(map(repr, get_args(Precision)))}")
        if config.pooling == "pooler" and weights.pooler is None:
            raise ValueError("pooling is 'pooler', but these weights have none; expected one, or 'cls' or 'mean'")
        self._config = config
        self._weights = weights
        self.backend: BackendName = backend
        self.threads = threads
        self.device = device
        self.precision: Precision = precision
        if backend == "native" and (reason := unsupported(config)):
            raise ValueError(f"backend is 'native', but {reason}")
        native = backend == "native" or (backend == "auto" and preferred_over_numpy(config))
        fitting = fitting_builds(config) if native else []
        if not fitting and backend == "auto":
            logger.info("no compiled library fits this processor and model: numpy and TensorFlow encode instead")
        self._compiled = NativeBert(config, weights, build=fitting[0]) if fitting else None
        self._light = self._compiled or NumpyBert(config, weights)
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
        failure: Exception | None = None
        chunks = iter(chunks)
        try:
            while True:
                try:
                    tokens = next(chunks)
                except StopIteration:
                    break
                except Exception as error:  # raised when what came before it is done
                    failure = error
                    break
                if self._is_little(tokens):
                    vectors, futures = self._few(tokens), []
                    done(len(vectors))
                else:
                    pool = pool or ThreadPoolExecutor(self._threads(), thread_name_prefix="dpr-tiny")
                    vectors = np.empty((len(tokens.lengths), self._config.embedding_dim), np.float32)
                    futures = [pool.submit(task) for task in self._tasks(vectors, tokens, batch_size)]
                underway.append((vectors, futures))
                if len(underway) == 2:
                    yield _finished(*underway.popleft(), done)
            while underway:
                yield _finished(*underway.popleft(), done)
            if failure is not None:
                raise failure
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def warm_up(self) -> None:
        """Do now what only the first large work has to do."""
        if not self._without_graph:
            self.graph()

    def graph(self) -> Any:
        """The graph for every batch size and length, made once: bert.encode with the weights held as constants."""
        if self._graph is None:
            with self._lock:
                if self._graph is None:
                    self._graph = _compile(self._config, self._weights, self.device, self.precision)
        return self._graph

    @functools.cached_property
    def _without_graph(self) -> bool:
        """Whether the compiled library does all."""
        if self.backend in ("native", "numpy"):
            return True
        return self._compiled is not None and self.precision == "float32" and _is_cpu(self.device)

    def _tasks(self, vectors: Vectors, tokens: Tokens, batch_size: int | None) -> Iterator[_Task]:
        cost = self._config.relative_cost
        if self._without_graph:
            budget = max(int(_PIECE / cost), _LEAST_PIECE)
            for piece in token_slices(tokens, token_budget=budget, batch_size=batch_size):
                yield functools.partial(_encode_piece, vectors, self._light, piece)
        else:
            budget, limit = max(int(_TOKENS / cost), _LEAST_TOKENS), self._config.max_position_embeddings
            for batch in padded_batches(tokens, limit=limit, token_budget=budget, batch_size=batch_size):
                yield functools.partial(_encode_batch, vectors, self.graph(), batch)

    def _threads(self) -> int:
        if self.threads is not None:
            return self.threads
        # For the graph one more than processors, so that none is idle while a thread readies its next batch.
        return processors() if self._without_graph else min(processors() + 1, 9)

    def _is_little(self, tokens: Tokens) -> bool:
        """Whether one thread takes no longer, what has to be loaded for the graph included."""
        if self.backend == "tensorflow":
            return False
        cost = len(tokens.ids) * self._config.relative_cost
        if self._compiled is not None and (cost <= _PIECE or len(tokens.lengths) == 1):
            return True
        if self._without_graph:
            return False
        return cost <= _FEW or (self._graph is None and self._so_far + cost <= _FEW_AT_FIRST)

    def _few(self, tokens: Tokens) -> Vectors:
        cost = len(tokens.ids) * self._config.relative_cost
        if cost > _FEW:
            self._so_far += cost
        return self._light.forward(tokens)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_cpu(device: str | None) -> bool:
    return _CPU.fullmatch(device) is not None if device else not _has_gpu()


def _has_gpu() -> bool:
    """Whether TensorFlow sees a GPU; it is asked only where the system shows one."""
    if not any(map(glob, _GPUS)):
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _encode_piece(vectors: Vectors, bert: NativeBert | NumpyBert, piece: TokenSlice) -> int:
    bert.forward_into(vectors[piece.rows], piece.tokens)
    return len(piece.tokens.lengths)


def _encode_batch(vectors: Vectors, graph: Any, batch: PaddedBatch) -> int:
    vectors[batch.rows] = graph(*batch.tokens)
    return len(batch.rows)


def _finished(vectors: Vectors, futures: list[Future[int]], done: Callable[[int], object]) -> Vectors:
    for future in futures:
        done(future.result())
    return vectors


def _compile(config: BertConfig, weights: BertWeights, device: str | None, precision: Precision) -> Any:
    import tensorflow as tf

    from dpr_tiny_retriever.model.bert_tensorflow import forward as forward_pass

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
    def forward(token_ids: Any, lengths: Any, segment_starts: Any) -> Any:
        with placed():
            return tf.cast(forward_pass(constants, config, TokenBatch(token_ids, lengths, segment_starts)), tf.float32)

    # Traced here and once: TensorFlow takes the first calls of several encoders for one that retraces, and warns.
    forward.get_concrete_function()
    return forward


def _lacks_bfloat16() -> bool:
    """Whether Linux lists the processor's instructions, and none of them is for bfloat16."""
    listed = Path("/proc/cpuinfo")
    return listed.exists() and "bf16" not in listed.read_text()
