"""BERT in C: the fastest backend on a CPU, for one text or many.

The same maths as bert_tensorflow, equal to 1e-5, without padding and without importing TensorFlow. NativeBert hands
the weights to the fastest build of the native library that fits the processor and the model.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Layer
from dpr_tiny_retriever.model.finite_vectors import not_finite
from dpr_tiny_retriever.model.folding import fold
from dpr_tiny_retriever.model.native_library import (
    BUILDS,
    BertStruct,
    LayerStruct,
    NativeLibrary,
    native_libraries,
    unavailable_builds,
)
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import Array, Vectors

_CACHE_LINE = 16  # floats
_INT32, _FLOAT32 = np.dtype(np.int32), np.dtype(np.float32)
#: enum dpr_outcome of bert.c.
_DONE, _OUT_OF_MEMORY, _INVALID_INPUT, _WRONG_SIZE, _NOT_FINITE = range(5)


class NativeBert:
    """The forward pass of one BERT in C. Thread-safe; other Python threads run meanwhile."""

    def __init__(self, config: BertConfig, weights: BertWeights, *, build: str | None = None) -> None:
        """build is one of available_builds(); None takes the fastest that fits the model.

        Raises ValueError, saying why, if no build can run this model here, or if a tensor has another shape than the
        configuration says.
        """
        reason = unsupported(config, build)
        if reason is not None:
            raise ValueError(reason)
        library = native_libraries()[build or fitting_builds(config)[0]]
        #: The instruction set: "AVX-512", "AVX2", "NEON" or "baseline".
        self.build = library.instruction_set
        self._panel = library.panel
        self._encode = library.encode
        #: The arrays that `structure` points to.
        self.arrays: list[Array] = []
        #: The model in the layout that C reads.
        self.structure = self._structure(config, weights)
        self._struct = ctypes.byref(self.structure), ctypes.sizeof(self.structure)
        self._vector_size = config.embedding_dim

    def forward_into(self, vectors: Vectors, tokens: Tokens) -> None:
        """Write the vectors of n texts, float32 [n, embedding_dim].

        Raises TypeError for arrays of another dtype, ValueError for another shape, for memory that C cannot read or
        write in order, and for token ids or lengths that the model does not have; CheckpointError for vectors that are
        not finite.
        """
        _check("tokens.ids", tokens.ids, _INT32, 1)
        _check("tokens.lengths", tokens.lengths, _INT32, 1)
        _check("tokens.segment_starts", tokens.segment_starts, _INT32, 1)
        _check("vectors", vectors, _FLOAT32, 2)
        expected = (len(tokens.lengths), self._vector_size)
        if vectors.shape != expected or not vectors.flags.writeable:
            access = "writable" if vectors.flags.writeable else "read-only"
            raise ValueError(f"vectors has shape {vectors.shape} and is {access}; expected shape {expected}, writable")
        if len(tokens.segment_starts) != len(tokens.lengths):
            raise ValueError(
                f"{len(tokens.lengths)} texts have {len(tokens.segment_starts)} segment starts; expected as many"
            )
        outcome = self._encode(
            *self._struct,
            len(tokens.lengths),
            tokens.ids.ctypes.data,
            len(tokens.ids),
            tokens.lengths.ctypes.data,
            tokens.segment_starts.ctypes.data,
            vectors.ctypes.data,
            vectors.size,
        )
        if outcome != _DONE:
            raise self._error(outcome, tokens)

    def _error(self, outcome: int, tokens: Tokens) -> Exception:
        if outcome == _OUT_OF_MEMORY:
            return MemoryError(f"no memory for a text of {tokens.lengths.max()} tokens")
        if outcome == _INVALID_INPUT:
            return ValueError(
                f"token ids are {_range(tokens.ids)} in texts of {_range(tokens.lengths)} tokens; this model takes ids "
                f"of 0 to {self.structure.vocabulary_size - 1} in texts of 1 to {self.structure.max_length} tokens"
            )
        if outcome == _WRONG_SIZE:
            total = tokens.lengths.sum(dtype=np.int64)
            return ValueError(f"{len(tokens.ids)} token ids were given; expected {total}, the sum of the lengths")
        if outcome == _NOT_FINITE:
            return not_finite()
        return RuntimeError(f"the native library returned {outcome}, which this version does not know")

    def _structure(self, config: BertConfig, weights: BertWeights) -> BertStruct:
        folded, width = fold(config, weights), config.hidden_size
        layers = [self._layer(layer, config) for layer in folded.layers]
        bert = BertStruct(
            layer_count=len(layers),
            width=width,
            heads=config.num_attention_heads,
            inner_width=config.intermediate_size,
            vector_size=config.embedding_dim,
            vocabulary_size=len(folded.word_embeddings),
            max_length=len(folded.position_embeddings),
            activation=config.activation,
            mean_pooling=config.pooling == "mean",
            normalize=config.normalize,
            layernorm_epsilon=config.layer_norm_eps,
            word_embeddings=self._pointer(folded.word_embeddings, len(folded.word_embeddings), width),
            position_embeddings=self._pointer(folded.position_embeddings, len(folded.position_embeddings), width),
            segment_delta=self._pointer(folded.segment_delta, width),
            embedding_layernorm_scale=self._pointer(folded.embedding_layernorm_scale, width),
            final_layernorm_bias=self._pointer(folded.final_layernorm_bias, width),
            layers=(LayerStruct * len(layers))(*layers),
        )
        if folded.cls_attention:
            heads, head_size = config.num_attention_heads, width // config.num_attention_heads
            cls = folded.cls_attention
            bert.cls_query, bert.cls_query_bias = self._linear(cls.query, width, width)
            bert.cls_key = self._packed(cls.key, heads, head_size, width)
            bert.cls_value = self._packed(cls.value, heads, width, head_size)
            bert.cls_value_bias = self._pointer(cls.value_bias, width)
        if config.pooling == "pooler" and weights.pooler:
            bert.pooler, bert.pooler_bias = self._linear(weights.pooler, width, width)
        if weights.projection:
            bert.projection, bert.projection_bias = self._linear(weights.projection, width, config.embedding_dim)
        return bert

    def _layer(self, layer: Layer, config: BertConfig) -> LayerStruct:
        width, inner_width = config.hidden_size, config.intermediate_size
        struct = LayerStruct()
        struct.qkv, struct.qkv_bias = self._linear(layer.query_key_value, width, 3 * width)
        struct.attn_out, struct.attn_out_bias = self._linear(layer.attention_output, width, width)
        struct.attn_layernorm_scale = self._pointer(layer.attention_norm.scale, width)
        struct.ffn_in, struct.ffn_in_bias = self._linear(layer.intermediate, width, inner_width)
        struct.ffn_out, struct.ffn_out_bias = self._linear(layer.output, inner_width, width)
        struct.ffn_layernorm_scale = self._pointer(layer.output_norm.scale, width)
        return struct

    def _linear(self, dense: Dense, depth: int, columns: int) -> tuple[int, int]:
        """Pointers to the packed kernel and to the bias, filled up with zeros to a multiple of a panel."""
        kernel = self._packed(dense.kernel, depth, columns)
        bias = np.zeros(_round_up(columns, self._panel), np.float32)
        bias[:columns] = _shaped(dense.bias, columns)
        return kernel, self._pointer(bias, len(bias))

    def _packed(self, kernels: Array, *shape: int) -> int:
        panels = _pack(_shaped(kernels, *shape), self._panel)
        return self._pointer(panels, *panels.shape)

    def _pointer(self, array: Array, *shape: int) -> int:
        self.arrays.append(np.ascontiguousarray(_shaped(array, *shape), np.float32))
        return self.arrays[-1].ctypes.data


def unsupported(config: BertConfig, build: str | None = None) -> str | None:
    """Why this build, or every one if none is named, cannot run the model here; None if it can."""
    libraries = native_libraries()
    if build is not None and build not in BUILDS:
        return f"build is {build!r}; expected one of {', '.join(BUILDS)}"
    if build is not None and build not in libraries:
        return f"the native library's build {build} cannot be used: {unavailable_builds()[build]}"
    if not libraries:
        return f"there is no native library in this installation: {unavailable_builds()['base']}"
    fitting = fitting_builds(config)
    if build in fitting or (build is None and fitting):
        return None
    panel = libraries[build].panel if build else min(library.panel for library in libraries.values())
    head_size = config.hidden_size / config.num_attention_heads
    return (
        f"a model with heads of {head_size:g} floats and an intermediate_size of {config.intermediate_size} does not "
        f"fit the native library: both must be multiples of {panel}"
    )


def preferred_over_numpy(config: BertConfig) -> bool:
    """Whether a build fits the model and is faster than numpy.

    The x86 baseline build (SSE2) is not: numpy uses AVX where the processor has it.
    """
    fitting = fitting_builds(config)
    return bool(fitting) and native_libraries()[fitting[0]].instruction_set != "baseline"


def fitting_builds(config: BertConfig) -> list[str]:
    """The available builds whose panels divide the model's heads and inner width, the fastest first."""
    return [build for build, library in native_libraries().items() if _fits(config, library)]


def _fits(config: BertConfig, library: NativeLibrary) -> bool:
    head_rest = config.hidden_size % (config.num_attention_heads * library.panel)
    return head_rest == 0 and config.intermediate_size % library.panel == 0


def _check(name: str, array: object, dtype: np.dtype[Any], ndim: int) -> None:
    """Refuse what C would misread."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"of type {type(array).__name__}"
        raise TypeError(f"{name} is {found}; expected a numpy array of {dtype}")
    flags = array.flags
    if array.ndim != ndim or not (flags.c_contiguous and flags.aligned):
        raise ValueError(
            f"{name} has shape {array.shape} and strides {array.strides}; expected ndim {ndim}, contiguous and "
            "aligned, as numpy.ascontiguousarray makes it"
        )


def _range(array: NDArray[np.int32]) -> str:
    return f"{array.min()} to {array.max()}" if array.size else "none"


def _shaped(array: Array, *shape: int) -> Array:
    """The array, if it has this shape: the library would read beyond the end of another."""
    if array.shape != shape:
        raise ValueError(f"a tensor of the weights has shape {array.shape}; by the configuration it is {shape}")
    return array


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _pack(kernels: Array, panel: int) -> Array:
    """Kernels [..., in, out] as panels [..., out / panel, in, panel], filled up with zeros, aligned to a cache line."""
    *others, depth, columns = kernels.shape
    shape = (*others, _round_up(columns, panel) // panel, depth, panel)
    memory = np.zeros(math.prod(shape) + _CACHE_LINE, np.float32)
    begin = -(memory.ctypes.data // memory.itemsize) % _CACHE_LINE
    panels = memory[begin : begin + math.prod(shape)].reshape(shape)
    for number in range(shape[-3]):
        part = kernels[..., number * panel : (number + 1) * panel]
        panels[..., number, :, : part.shape[-1]] = part
    return panels
