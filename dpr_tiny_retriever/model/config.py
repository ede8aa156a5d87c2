"""The shape of a BERT and its weights, as plain structures that need no framework."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from dpr_tiny_retriever.types import Pooling, Tensor

HiddenAct = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"]


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT, in the words and with the defaults of its config.json, and how tokens become a vector."""

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

    @property
    def embedding_dim(self) -> int:
        """The width of a text's vector."""
        return self.projection_dim or self.hidden_size

    @cached_property  # every question asks for it
    def cost(self) -> float:
        """The arithmetic of a token, that of two layers of width 128 taken as 1."""
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


def tensors_of(structure: Any) -> Iterator[Tensor]:
    """The tensors of a BertWeights or of a part of it, in the order of its fields; what is absent is left out."""
    if isinstance(structure, tuple):
        for part in structure:
            yield from tensors_of(part)
    elif structure is not None:
        yield structure
