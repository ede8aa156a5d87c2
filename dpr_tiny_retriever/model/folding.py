"""A BERT's weights prepared for inference by bert.c and numpy: what is the same for every text is computed once.

LayerNorm offsets are folded into the bias of the next dense layers, so that hidden rows are without them; the last one
is added to the output vector. The scores' factor d^-0.5 is folded into the query product.
Shapes: w hidden size, h heads, d = w / h. All is float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Layer
from dpr_tiny_retriever.types import Array


class ClsAttention(NamedTuple):
    """Attention of [CLS] alone: the last layer's query, key and value products, apart."""

    query: Dense  # [w, w]
    key: Array  # [h, d, w]: without bias, which adds the same to all scores of a text and cancels in the softmax
    value: Array  # [h, w, d]
    value_bias: Array  # [w]


class InferenceWeights(NamedTuple):
    """The weights of one BERT, folded."""

    word_embeddings: Array  # [vocab_size, w]
    position_embeddings: Array  # [max_position_embeddings, w]: with segment 0's embedding added
    segment_delta: Array  # [w]: segment 1's embedding less segment 0's
    embedding_layernorm_scale: Array  # [w]
    layers: tuple[Layer, ...]
    cls_attention: ClsAttention | None  # where the last layer is computed for [CLS] alone, because no other is read
    final_layernorm_bias: Array  # [w]


def fold(config: BertConfig, weights: BertWeights) -> InferenceWeights:
    """Prepare weights for inference."""
    embeddings = weights.embeddings
    # A model of one segment gives titles and texts the same embedding.
    segment_delta = embeddings.segment[min(1, len(embeddings.segment) - 1)] - embeddings.segment[0]
    offsets = [embeddings.norm.offset, *(layer.output_norm.offset for layer in weights.layers)]
    layers = tuple(_fold(layer, offset, config) for layer, offset in zip(weights.layers, offsets[:-1], strict=True))
    return InferenceWeights(
        word_embeddings=embeddings.word,
        position_embeddings=embeddings.position + embeddings.segment[0],
        segment_delta=segment_delta,
        embedding_layernorm_scale=embeddings.norm.scale,
        layers=layers,
        cls_attention=_cls_attention(layers[-1], config) if layers and config.pooling != "mean" else None,
        final_layernorm_bias=offsets[-1],
    )


def _fold(layer: Layer, offset: Array, config: BertConfig) -> Layer:
    """The layer for hidden rows from which the previous LayerNorm's offset [w] was left out."""
    factor = np.ones(3 * config.hidden_size, np.float32)
    factor[: config.hidden_size] = (config.hidden_size // config.num_attention_heads) ** -0.5
    kernel, bias = layer.query_key_value
    attention_offset = layer.attention_norm.offset
    return layer._replace(
        query_key_value=Dense(kernel * factor, (bias + offset @ kernel) * factor),
        attention_output=_add_to_bias(layer.attention_output, offset),
        intermediate=_add_to_bias(layer.intermediate, attention_offset @ layer.intermediate.kernel),
        output=_add_to_bias(layer.output, attention_offset),
    )


def _add_to_bias(dense: Dense, summand: Array) -> Dense:
    return dense._replace(bias=dense.bias + summand)


def _cls_attention(layer: Layer, config: BertConfig) -> ClsAttention:
    heads, width = config.num_attention_heads, config.hidden_size
    (kernel, bias), shape = layer.query_key_value, (width, heads, width // heads)
    query, key, value = np.split(kernel, 3, axis=1)
    query_bias, _, value_bias = np.split(bias, 3)
    key, value = key.reshape(shape).transpose(1, 2, 0), value.reshape(shape).transpose(1, 0, 2)
    return ClsAttention(Dense(query, query_bias), key, value, value_bias)
