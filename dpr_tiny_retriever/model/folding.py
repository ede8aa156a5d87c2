"""A BERT's weights as compiled code and numpy read them: what is the same for every text is worked out.

What a layer normalisation adds to every row is inside the biases of what reads the rows, and added to the vector at the
end: hidden rows are without it. The scores' factor d^-0.5 is inside the query product.
Shapes: w hidden size, h heads, d = w / h. All is float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Layer
from dpr_tiny_retriever.types import Array


class First(NamedTuple):
    """Attention of the first token alone: the last layer's product for query, key and value, apart."""

    query: Dense  # [w, w]
    key: Array  # [h, d, w]: its bias adds the same to all scores of a text, which the softmax forgets
    value: Array  # [h, w, d]
    value_bias: Array  # [w]


class Folded(NamedTuple):
    """The weights of one BERT."""

    words: Array  # [vocab_size, w]
    places: Array  # [max_position_embeddings, w]: position and first segment
    second: Array  # [w]: what the second segment has more than the first
    scale: Array  # [w]: of the embeddings' normalisation
    layers: tuple[Layer, ...]
    first: First | None  # where the last layer's [CLS] alone is read, so that it alone is computed
    last_offset: Array  # [w]


def folded(config: BertConfig, weights: BertWeights) -> Folded:
    embeddings = weights.embeddings
    # A model of one segment gives its titles and texts the same.
    second = embeddings.segment[min(1, len(embeddings.segment) - 1)] - embeddings.segment[0]
    offsets = [embeddings.norm.offset, *(layer.output_norm.offset for layer in weights.layers)]
    layers = tuple(_folded(layer, offset, config) for layer, offset in zip(weights.layers, offsets[:-1], strict=True))
    return Folded(
        words=embeddings.word,
        places=embeddings.position + embeddings.segment[0],
        second=second,
        scale=embeddings.norm.scale,
        layers=layers,
        first=_first(layers[-1], config) if layers and config.pooling != "mean" else None,
        last_offset=offsets[-1],
    )


def _folded(layer: Layer, offset: Array, config: BertConfig) -> Layer:
    """The layer for rows that lack this offset [w]."""
    factor = np.ones(3 * config.hidden_size, np.float32)
    factor[: config.hidden_size] = (config.hidden_size // config.num_attention_heads) ** -0.5
    kernel, bias = layer.query_key_value
    within = layer.attention_norm.offset
    return layer._replace(
        query_key_value=Dense(kernel * factor, (bias + offset @ kernel) * factor),
        attention_output=_raised(layer.attention_output, offset),
        intermediate=_raised(layer.intermediate, within @ layer.intermediate.kernel),
        output=_raised(layer.output, within),
    )


def _raised(dense: Dense, by: Array) -> Dense:
    return dense._replace(bias=dense.bias + by)


def _first(layer: Layer, config: BertConfig) -> First:
    heads, width = config.num_attention_heads, config.hidden_size
    (kernel, bias), shape = layer.query_key_value, (width, heads, width // heads)
    query, key, value = np.split(kernel, 3, axis=1)
    query_bias, _, value_bias = np.split(bias, 3)
    key, value = key.reshape(shape).transpose(1, 2, 0), value.reshape(shape).transpose(1, 0, 2)
    return First(Dense(query, query_bias), key, value, value_bias)
