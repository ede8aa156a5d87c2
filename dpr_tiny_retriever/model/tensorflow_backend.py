"""BERT by TensorFlow: one graph for all shapes, on a CPU or another device, in float32 or bfloat16."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.model.batching import PaddedBatch, TokenBatch, padded_batches
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.finite_vectors import refuse_not_finite
from dpr_tiny_retriever.model.tree import tree_map
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.threads import usable_processors
from dpr_tiny_retriever.types import Precision, Tensor, Vectors

logger = logging.getLogger(__name__)

#: Padded tokens in a batch at relative cost 1: large enough to hide a call's overhead, small enough for a processor's
#: cache. Divided by the model's cost, but never below the second number.
TF_BATCH_TOKENS, TF_MIN_BATCH_TOKENS = 8192, 3072
#: More threads than these do not make TensorFlow faster: it has threads of its own.
TF_MAX_WORKERS = 9
#: Where Linux shows a GPU: Nvidia's, AMD's, and that of the Windows around it.
GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")


class TensorFlowBackend:
    """Runs a BERT as a TensorFlow graph, made when it first has work. Thread-safe.

    TensorFlow's own threads are as many as processors, whatever the option threads says: they are set for the whole
    process, by tf.config.threading before its first work.
    """

    def __init__(
        self, config: BertConfig, weights: BertWeights, *, threads: int | None, device: str | None, precision: Precision
    ) -> None:
        """device is by TensorFlow's name; None is a GPU if TensorFlow sees one. Raises MissingExtraError."""
        if not tensorflow_is_installed():
            raise MissingExtraError(
                'the backend "tensorflow" needs TensorFlow, which is not installed: '
                'pip install "dpr-tiny-retriever[tensorflow]"'
            )
        self._config, self._weights = config, weights
        self._threads, self._device, self._precision = threads, device, precision
        self._batch_tokens = max(int(TF_BATCH_TOKENS / config.relative_cost), TF_MIN_BATCH_TOKENS)
        self._graph: Callable[..., Tensor] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Such as "tensorflow (CPU)" or "tensorflow (GPU:0, bfloat16)"."""
        device = self._device or ("GPU:0" if tensorflow_sees_gpu() else "CPU")
        precision = "" if self._precision == "float32" else f", {self._precision}"
        return f"tensorflow ({device.removeprefix('/').removeprefix('device:')}{precision})"

    @property
    def workers(self) -> int:
        """One more than processors, so that none is idle while a thread makes its next batch ready."""
        return min(usable_processors() + 1, TF_MAX_WORKERS) if self._threads is None else self._threads

    def split(self, tokens: Tokens, batch_size: int | None) -> Sequence[PaddedBatch]:
        limit = self._config.max_position_embeddings
        return list(padded_batches(tokens, limit=limit, token_budget=self._batch_tokens, batch_size=batch_size))

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(self, work: PaddedBatch, vectors: Vectors) -> int:
        graph = self.tf_function()
        with _placed(self._device):  # the caller may be inside a tf.device of its own
            computed = np.asarray(graph(*work.tokens))
        refuse_not_finite(computed)
        vectors[work.rows] = computed
        return len(work.rows)

    def warm_up(self) -> None:
        self.tf_function()

    def tf_function(self) -> Callable[..., Tensor]:
        """bert_tensorflow.forward for every batch size and length, traced once, with the weights held as constants."""
        if self._graph is None:
            with self._lock:
                if self._graph is None:
                    self._graph = _trace(self._config, self._weights, self._device, self._precision)
        return self._graph


def tensorflow_is_installed() -> bool:
    return find_spec("tensorflow") is not None


def gpu_is_likely() -> bool:
    """Whether the system shows a GPU and TensorFlow is installed; nothing is imported to tell."""
    return any(map(glob, GPU_FILES)) and tensorflow_is_installed()


def tensorflow_sees_gpu() -> bool:
    """Whether TensorFlow sees a GPU; it is asked, and imported, only where that is likely."""
    if not gpu_is_likely():
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _trace(config: BertConfig, weights: BertWeights, device: str | None, precision: Precision) -> Callable[..., Tensor]:
    import tensorflow as tf

    from dpr_tiny_retriever.model.bert_tensorflow import forward

    if precision == "bfloat16" and lacks_bfloat16():
        logger.warning("this processor has no instructions for bfloat16; float32 is faster here")
    with _placed(device):
        constants = tree_map(lambda array: tf.cast(tf.constant(array), precision), weights)
    ids, counts = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)

    @tf.function(input_signature=[ids, counts, counts], autograph=False)  # type: ignore[untyped-decorator]
    def graph(token_ids: Tensor, lengths: Tensor, segment_starts: Tensor) -> Tensor:
        with _placed(device):
            return tf.cast(forward(constants, config, TokenBatch(token_ids, lengths, segment_starts)), tf.float32)

    # Traced here and once: TensorFlow takes the first calls of several encoders for one that retraces, and warns.
    graph.get_concrete_function()
    traced: Callable[..., Tensor] = graph
    return traced


def _placed(device: str | None) -> AbstractContextManager[Any]:
    import tensorflow as tf

    return tf.device(device) if device else nullcontext()


def lacks_bfloat16() -> bool:
    """Whether Linux lists the processor's instructions, and none of them is for bfloat16."""
    listed = Path("/proc/cpuinfo")
    return listed.exists() and "bf16" not in listed.read_text("utf-8", errors="replace")
