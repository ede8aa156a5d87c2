"""Which implementation runs a BERT: the protocol that all share, and the one rule that chooses.

backend="auto" takes the first line that holds; nothing else counts, so that a text has the same vector whatever was
encoded before it:

    what is asked for, and what there is                        many texts     few texts
    ----------------------------------------------------------  -------------  -------------------------------
    precision="bfloat16", or a device that is no CPU            tensorflow     native or numpy, in float32
    no device, and a GPU that TensorFlow sees                   tensorflow     native or numpy
    a native library that fits the processor and the model      native         native
    TensorFlow is installed                                     tensorflow     numpy
    none of these                                               numpy          numpy

Texts are few where their tokens together fill no more than one slice of native code (SLICE_TOKENS), or no more than
NUMPY_MAX_TOKENS where numpy is to encode them. A named backend runs everything itself, or raises and says why it
cannot. The environment variable DPR_TINY_BACKEND replaces "auto"; "native:avx2" there names a build, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Protocol, get_args

from dpr_tiny_retriever.load_options import complete_options
from dpr_tiny_retriever.model.batching import TokenSlice, token_slices
from dpr_tiny_retriever.model.bert_native import NativeBert, preferred_over_numpy
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.tensorflow_backend import (
    TensorFlowBackend,
    gpu_is_likely,
    tensorflow_is_installed,
    tensorflow_sees_gpu,
)
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.threads import one_blas_thread, usable_processors
from dpr_tiny_retriever.types import BackendName, Precision, Vectors

#: Tokens that native code or numpy is given at once, at relative cost 1: some milliseconds of work, and too few to be
#: worth a second thread. Divided by the model's cost, but never below the second number.
SLICE_TOKENS, MIN_SLICE_TOKENS = 2048, 512
#: Up to so many tokens at once, at relative cost 1, numpy is as fast as TensorFlow.
NUMPY_MAX_TOKENS = 512

_CPU = re.compile(r"(.*/)?(device:)?cpu(:0)?", re.IGNORECASE)


class Backend(Protocol):
    """One way to run a BERT: token ids -> vectors. Thread-safe."""

    @property
    def name(self) -> str:
        """Which implementation runs in which build, such as "native (AVX2)"."""

    @property
    def workers(self) -> int:
        """How many threads may usefully call run at once."""

    def split(self, tokens: Tokens, batch_size: int | None) -> Sequence[Any]:
        """The tokens of a chunk in parts for run; batch_size is the most texts in one where there are several."""

    def running(self) -> AbstractContextManager[None]:
        """The context in which parts are run, entered once for all parts of a call."""

    def run(self, work: Any, vectors: Vectors) -> int:
        """Write the vectors of one part to its rows of the chunk's vectors [n, embedding_dim]; return how many."""

    def warm_up(self) -> None:
        """Do now what only the first large work has to do."""


def choose_backend(
    config: BertConfig,
    weights: BertWeights,
    *,
    backend: BackendName = "auto",
    threads: int | None = None,
    device: str | None = None,
    precision: Precision = "float32",
) -> Backend:
    """The backend for a model, by the table above.

    Raises ValueError where a named backend cannot run the model as asked, MissingExtraError where TensorFlow is needed
    and not installed.
    """
    complete_options({"backend": backend, "threads": threads, "precision": precision})
    if config.pooling == "pooler" and weights.pooler is None:
        raise ValueError("pooling is 'pooler', but these weights have none; expected one, or 'cls' or 'mean'")
    name, build = _from_environment() if backend == "auto" else (backend, None)
    on_cpu = device is None or _CPU.fullmatch(device) is not None

    def native() -> UnpaddedBackend:
        bert = NativeBert(config, weights, build=build)
        return UnpaddedBackend(f"native ({bert.build})", bert, config, threads)

    def numpy() -> UnpaddedBackend:
        return UnpaddedBackend("numpy", NumpyBert(config, weights), config, threads, running=one_blas_thread)

    def tensorflow() -> TensorFlowBackend:
        return TensorFlowBackend(config, weights, threads=threads, device=device, precision=precision)

    if name == "tensorflow":
        return tensorflow()
    if name in ("native", "numpy"):
        for option, value, fits in (("precision", precision, precision == "float32"), ("device", device, on_cpu)):
            if not fits:
                raise ValueError(f"{option} is {value!r}, which backend {name!r} cannot do; expected 'tensorflow'")
        return native() if name == "native" else numpy()

    has_native = preferred_over_numpy(config)
    small = native() if has_native else numpy()
    max_small_tokens = small.slice_tokens if has_native else int(NUMPY_MAX_TOKENS / config.relative_cost)
    if precision != "float32" or not on_cpu or (not has_native and tensorflow_is_installed()):
        large = tensorflow()
        return SmallAndLarge(small, lambda: large, max_small_tokens)
    if device is None and has_native and gpu_is_likely():
        on_gpu = tensorflow()
        return SmallAndLarge(small, lambda: on_gpu if tensorflow_sees_gpu() else small, max_small_tokens)
    return small


def _from_environment() -> tuple[str, str | None]:
    """The backend that DPR_TINY_BACKEND names, and the build of the native library if it names one."""
    value = os.environ.get("DPR_TINY_BACKEND", "").strip() or "auto"
    name, _, build = value.partition(":")
    if name not in get_args(BackendName) or (build and name != "native"):
        expected = ", ".join(get_args(BackendName))
        raise ValueError(f"the environment variable DPR_TINY_BACKEND is {value!r}; expected one of {expected}")
    return name, build or None


class UnpaddedBackend:
    """Native code or numpy, given slices of texts without padding."""

    def __init__(
        self,
        name: str,
        bert: NativeBert | NumpyBert,
        config: BertConfig,
        threads: int | None,
        *,
        running: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.name = name
        self.running = running
        self.slice_tokens = max(int(SLICE_TOKENS / config.relative_cost), MIN_SLICE_TOKENS)
        self._forward_into = bert.forward_into
        self._threads = threads

    @property
    def workers(self) -> int:
        return usable_processors() if self._threads is None else self._threads

    def split(self, tokens: Tokens, batch_size: int | None) -> Sequence[TokenSlice]:
        if len(tokens.ids) <= self.slice_tokens or len(tokens.lengths) == 1:  # a question: nothing to work out
            return (TokenSlice(slice(None), tokens),)
        return list(token_slices(tokens, token_budget=self.slice_tokens, batch_size=batch_size))

    def run(self, work: TokenSlice, vectors: Vectors) -> int:
        self._forward_into(vectors[work.rows], work.tokens)
        return len(work.tokens.lengths)

    def warm_up(self) -> None:
        """There is nothing to do: construction has done it."""


class SmallAndLarge:
    """Two backends: one for chunks of few tokens, the other for all larger ones."""

    def __init__(self, small: Backend, choose_large: Callable[[], Backend], max_small_tokens: int) -> None:
        """choose_large is asked when the first large chunk comes: it may have to import TensorFlow to tell."""
        self._small = small
        self._choose_large = choose_large
        self._max_small_tokens = max_small_tokens

    @cached_property
    def _large(self) -> Backend:
        return self._choose_large()

    @property
    def name(self) -> str:
        if self._large is self._small:
            return self._small.name
        return f"{self._small.name} for few texts, {self._large.name} for many"

    @property
    def workers(self) -> int:
        return self._large.workers

    def split(self, tokens: Tokens, batch_size: int | None) -> Sequence[tuple[Backend, Any]]:
        backend = self._small if len(tokens.ids) <= self._max_small_tokens else self._large
        return [(backend, work) for work in backend.split(tokens, batch_size)]

    def running(self) -> AbstractContextManager[None]:
        return self._small.running()  # a large backend is TensorFlow, which needs no context, or the small one

    def run(self, work: tuple[Backend, Any], vectors: Vectors) -> int:
        backend, part = work
        return backend.run(part, vectors)

    def warm_up(self) -> None:
        self._large.warm_up()
