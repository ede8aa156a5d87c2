"""The shape of a BERT and its weights, as plain structures that need no framework."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, get_args

from dpr_tiny_retriever.types import Pooling, Tensor


class Activation(IntEnum):
    """The activation functions that every implementation has; numbered as bert.c numbers them."""

    GELU = 0  # x times the normal distribution function of x
    GELU_TANH = 1  # the same, approximated by a tanh (Hendrycks and Gimpel 2016)
    RELU = 2
    SILU = 3
    TANH = 4


#: By the names that a config.json gives them.
ACTIVATIONS = {
    "gelu": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
    "tanh": Activation.TANH,
}


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT, in the words and with the defaults of its config.json, and how tokens become a vector.

    Raises ValueError for a value that no BERT can have.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    projection_dim: int = 0
    pooling: Pooling = "pooler"
    normalize: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "type_vocab_size"):
            self._expect(name, getattr(self, name) >= 1, "at least 1")
        for name in ("num_hidden_layers", "projection_dim"):
            self._expect(name, getattr(self, name) >= 0, "at least 0")
        self._expect("max_position_embeddings", self.max_position_embeddings >= 1, "at least 1")
        self._expect("layer_norm_eps", 0 <= self.layer_norm_eps < math.inf, "a finite number of at least 0")
        self._expect("hidden_act", self.hidden_act in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}")
        self._expect("pooling", self.pooling in get_args(Pooling), f"one of {', '.join(get_args(Pooling))}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}; "
                "expected the configuration that the weights were saved with"
            )

    def _expect(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; expected {expected}")

    @property
    def embedding_dim(self) -> int:
        """The width of a text's vector."""
        return self.projection_dim or self.hidden_size

    @property
    def activation(self) -> Activation:
        """The function that hidden_act names."""
        return ACTIVATIONS[self.hidden_act]

    @cached_property  # every question asks for it
    def relative_cost(self) -> float:
        """Arithmetic of a token relative to that of two layers of width 128: layers * width^2 / (2 * 128^2)."""
        return max(self.num_hidden_layers, 1) * self.hidden_size**2 / (2 * 128**2)


class Dense(NamedTuple):
    kernel: Tensor  # [in, out]
    bias: Tensor  # [out]


class LayerNorm(NamedTuple):
    scale: Tensor  # [w]
    offset: Tensor  # [w]


class Embeddings(NamedTuple):
    word: Tensor  # [vocab_size, w]
    position: Tensor  # [max_position_embeddings, w]
    segment: Tensor  # [type_vocab_size, w]
    norm: LayerNorm


class Layer(NamedTuple):
    query_key_value: Dense  # [w, 3w]: the three products as one
    attention_output: Dense  # [w, w]
    attention_norm: LayerNorm
    intermediate: Dense  # [w, intermediate_size]
    output: Dense  # [intermediate_size, w]
    output_norm: LayerNorm


class BertWeights(NamedTuple):
    """Every tensor of one BERT; a plain structure, so that arrays, variables and gradients all fit in it."""

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    pooler: Dense | None  # [w, w]: present when pooling is "pooler"
    projection: Dense | None  # [w, projection_dim]: present when projection_dim is not 0
