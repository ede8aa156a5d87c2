"""BERT in C, without padding: the fastest way on a processor with vector instructions, for one text or many.

csrc/bert.c is compiled where the package is built, once for each set of vector instructions; the library that fits the
processor and the model is loaded here. The same maths as bert_tensorflow.forward, equal to 1e-5.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain

import numpy as np

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Layer
from dpr_tiny_retriever.model.folding import fold
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import Array

_DONE, _NO_MEMORY = 0, 1
#: Floats in a line of the processor's cache.
_LINE = 16


class _Bert(ctypes.Structure):
    """struct bert of bert.c; struct layer is ten pointers."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in "layers width heads inner dim vocabulary longest".split()),
        *((name, ctypes.c_int64) for name in "activation mean normalize".split()),
        ("epsilon", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in "words places second scale last_offset layer".split()),
        *((f"first_{name}", ctypes.c_void_p) for name in "query query_bias key value value_bias".split()),
        *((name, ctypes.c_void_p) for name in "pooler pooler_bias projection projection_bias".split()),
    ]


class CompiledBert:
    """The forward pass of one BERT. Thread-safe, and other threads run while it works."""

    def __init__(self, library: ctypes.CDLL, config: BertConfig, weights: BertWeights) -> None:
        """library is one of libraries(config)."""
        self.lanes: int = library.lanes()
        self._config = config
        self._encode = library.encode
        self._kept: list[Array] = []  # what the pointers below point to
        of, width = fold(config, weights), config.hidden_size
        self._layers = (ctypes.c_void_p * (10 * len(of.layers)))(*chain.from_iterable(map(self._layer, of.layers)))
        self._bert = _Bert(
            layers=len(of.layers),
            width=width,
            heads=config.num_attention_heads,
            inner=config.intermediate_size,
            dim=config.embedding_dim,
            vocabulary=len(of.word_embeddings),
            longest=len(of.position_embeddings),
            activation=config.activation,
            mean=config.pooling == "mean",
            normalize=config.normalize,
            epsilon=config.layer_norm_eps,
            words=self._pointer(_shaped(of.word_embeddings, len(of.word_embeddings), width)),
            places=self._pointer(_shaped(of.position_embeddings, len(of.position_embeddings), width)),
            second=self._pointer(_shaped(of.segment_delta, width)),
            scale=self._pointer(_shaped(of.embedding_layernorm_scale, width)),
            last_offset=self._pointer(_shaped(of.final_layernorm_bias, width)),
            layer=ctypes.addressof(self._layers),
        )
        if of.cls_attention:
            heads, size = config.num_attention_heads, width // config.num_attention_heads
            self._bert.first_query, self._bert.first_query_bias = self._dense(of.cls_attention.query, width, width)
            self._bert.first_key = self._pointer(_panels(_shaped(of.cls_attention.key, heads, size, width), self.lanes))
            self._bert.first_value = self._pointer(
                _panels(_shaped(of.cls_attention.value, heads, width, size), self.lanes)
            )
            self._bert.first_value_bias = self._pointer(_shaped(of.cls_attention.value_bias, width))
        if config.pooling == "pooler" and weights.pooler:
            self._bert.pooler, self._bert.pooler_bias = self._dense(weights.pooler, width, width)
        if weights.projection:
            parts = self._dense(weights.projection, width, config.embedding_dim)
            self._bert.projection, self._bert.projection_bias = parts

    def encode(self, tokens: Tokens) -> Array:
        """Vectors [n texts, embedding_dim] of tokenised texts."""
        vectors = np.empty((len(tokens.lengths), self._config.embedding_dim), np.float32)
        self.encode_into(vectors, tokens)
        return vectors

    def encode_into(self, vectors: Array, tokens: Tokens) -> None:
        """Write the vectors of tokenised texts to [n texts, embedding_dim]."""
        given = [np.ascontiguousarray(array, np.int32) for array in (tokens.ids, tokens.lengths, tokens.segment_starts)]
        pointers = (array.ctypes.data for array in (*given, vectors))
        outcome = self._encode(ctypes.byref(self._bert), len(vectors), *pointers)
        if outcome == _NO_MEMORY:
            raise MemoryError(f"no memory for a text of {tokens.lengths.max()} tokens")
        if outcome != _DONE:
            raise ValueError(
                f"token ids {tokens.ids.min()} to {tokens.ids.max()} in texts of {tokens.lengths.min()} to "
                f"{tokens.lengths.max()}; this model knows 0 to {self._bert.vocabulary - 1} in texts of 1 to "
                f"{self._bert.longest}"
            )

    def _layer(self, layer: Layer) -> Iterator[int]:
        width, inner = self._config.hidden_size, self._config.intermediate_size
        yield from self._dense(layer.query_key_value, width, 3 * width)
        yield from self._dense(layer.attention_output, width, width)
        yield self._pointer(_shaped(layer.attention_norm.scale, width))
        yield from self._dense(layer.intermediate, width, inner)
        yield from self._dense(layer.output, inner, width)
        yield self._pointer(_shaped(layer.output_norm.scale, width))

    def _dense(self, dense: Dense, depth: int, columns: int) -> tuple[int, int]:
        panels = _panels(_shaped(dense.kernel, depth, columns), self.lanes)
        bias = np.zeros(panels[:, 0].size, np.float32)
        bias[:columns] = _shaped(dense.bias, columns)
        return self._pointer(panels), self._pointer(bias)

    def _pointer(self, array: Array) -> int:
        self._kept.append(np.ascontiguousarray(array, np.float32))
        return self._kept[-1].ctypes.data


def libraries(config: BertConfig) -> list[ctypes.CDLL]:
    """Those that run on this processor, can hold this model and are faster than numpy, the fastest first."""
    return [library for library in _runnable() if library.worth_while() and _fits(library, config)]


def _fits(library: ctypes.CDLL, config: BertConfig) -> bool:
    # Heads, and so the width, and the inner width must be whole panels, of two vectors.
    panel = 2 * library.lanes()
    widths = config.hidden_size % (config.num_attention_heads * panel), config.intermediate_size % panel
    return not any(widths)


@functools.cache
def _runnable() -> list[ctypes.CDLL]:
    found: list[ctypes.CDLL] = []
    for name in ("_bert", "_bert_avx2", "_bert_avx512"):  # the first runs everywhere, and can say what else does
        spec = find_spec(f"dpr_tiny_retriever.{name}")
        if spec is None or spec.origin is None:
            continue  # not compiled: no compiler, or of another kind of processor
        library = ctypes.CDLL(spec.origin)
        library.encode.argtypes = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 4]
        if library.lanes() <= (found or [library])[0].lanes_here():
            found.append(library)
    return found[::-1]


def _shaped(array: Array, *shape: int) -> Array:
    """The array, if it has this shape: the library would read beyond the end of another."""
    if array.shape != shape:
        raise ValueError(f"a tensor of the weights has shape {array.shape}; by the configuration it is {shape}")
    return array


def _panels(kernels: Array, lanes: int) -> Array:
    """Kernels [..., in, out] as panels [..., out / panel, in, panel] of two vectors each, filled up with zeros.

    They begin where a line of the processor's cache does.
    """
    *others, depth, columns = kernels.shape
    panel = 2 * lanes
    shape = (*others, -(-columns // panel), depth, panel)
    memory = np.zeros(math.prod(shape) + _LINE, np.float32)
    begin = -(memory.ctypes.data // memory.itemsize) % _LINE
    panels = memory[begin : begin + math.prod(shape)].reshape(shape)
    for number in range(shape[-3]):
        part = kernels[..., number * panel : (number + 1) * panel]
        panels[..., number, :, : part.shape[-1]] = part
    return panels
