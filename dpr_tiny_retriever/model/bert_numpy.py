"""BERT in numpy, one text after the other: for a question or a few texts, where there is no compiled library.

The same maths as bert.encode, equal to 1e-5, in the forms that numpy does in few passes; no TensorFlow is imported.
Shapes: n tokens of one text, w hidden size, h heads, d = w / h. All is float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Layer
from dpr_tiny_retriever.model.folding import First, folded
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import Array


class LightBert:
    """The forward pass of one BERT. Thread-safe: nothing of it changes after construction."""

    def __init__(self, config: BertConfig, weights: BertWeights) -> None:
        self._config = config
        self._weights = folded(config, weights)
        self._pooler, self._projection = weights.pooler, weights.projection
        self._activation = ACTIVATIONS[config.hidden_act]
        self._epsilon = np.float32(config.layer_norm_eps)
        self._average = np.full((config.hidden_size, 1), 1 / config.hidden_size, np.float32)

    def encode(self, tokens: Tokens) -> Array:
        """Vectors [n texts, embedding_dim] of tokenised texts."""
        vectors = np.empty((len(tokens.lengths), self._config.embedding_dim), np.float32)
        begin = 0
        for row, (length, text_start) in enumerate(
            zip(tokens.lengths.tolist(), tokens.segment_starts.tolist(), strict=True)
        ):
            vectors[row] = self._vector(tokens.ids[begin : begin + length], text_start)
            begin += length
        return vectors

    def _vector(self, ids: NDArray[np.int32], text_start: int) -> Array:
        config, weights, first = self._config, self._weights, self._weights.first
        hidden = weights.words[ids]  # [n, w]
        hidden += weights.places[: len(ids)]
        if text_start < len(ids):
            hidden[text_start:] += weights.second
        hidden = self._norm(weights.scale, hidden)  # [n, w]
        for layer in weights.layers[:-1] if first else weights.layers:
            hidden = self._layer(layer, hidden, self._attend(layer, hidden))  # [n, w]
        if first:
            vector = self._layer(weights.layers[-1], hidden[:1], self._attend_first(first, hidden))  # [1, w]
        else:
            vector = hidden.mean(axis=0, keepdims=True) if config.pooling == "mean" else hidden[:1]  # [1, w]
        vector = vector + weights.last_offset
        if config.pooling == "pooler":
            assert self._pooler is not None
            vector = np.tanh(_dense(self._pooler, vector))  # [1, w]
        if self._projection is not None:
            vector = _dense(self._projection, vector)  # [1, projection_dim]
        if config.normalize:
            vector = vector / max(float(np.sqrt((vector * vector).sum())), 1e-12)  # [1, embedding_dim]
        found: Array = vector[0]
        return found

    def _layer(self, layer: Layer, hidden: Array, context: Array) -> Array:
        """What a transformer layer makes of tokens and of what they attended to, [n, w]."""
        attended = _dense(layer.attention_output, context)
        attended += hidden
        attended = self._norm(layer.attention_norm.scale, attended)  # [n, w]
        output = _dense(layer.output, self._activation(_dense(layer.intermediate, attended)))
        output += attended
        return self._norm(layer.output_norm.scale, output)  # [n, w]

    def _attend(self, layer: Layer, hidden: Array) -> Array:
        """Multi-head attention of every token to every token, before the output product, [n, w]."""
        heads, width = self._config.num_attention_heads, self._config.hidden_size
        fused = _dense(layer.query_key_value, hidden).reshape(len(hidden), 3, heads, width // heads)  # [n, 3, h, d]
        query, key, value = fused.transpose(1, 2, 0, 3)  # 3 x [h, n, d]
        context = _softmax(query @ key.transpose(0, 2, 1)) @ value  # [h, n, d]
        joined: Array = context.transpose(1, 0, 2).reshape(len(hidden), width)
        return joined

    def _attend_first(self, first: First, hidden: Array) -> Array:
        """Multi-head attention of the first token to every token, before the output product, [1, w].

        As bert._attend_first: the key and value products are taken once instead of once a token.
        """
        query = _dense(first.query, hidden[:1]).reshape(len(first.key), 1, -1)  # [h, 1, d]
        asked = (query @ first.key)[:, 0]  # [h, w]
        read = _softmax(asked.dot(hidden.T)).dot(hidden)  # [h, w]
        context: Array = (read[:, None] @ first.value).reshape(1, -1)  # [1, w]
        context += first.value_bias
        return context

    def _norm(self, scale: Array, rows: Array) -> Array:
        """Layer normalisation of each row, in place of it, without the offset, [n, w]."""
        rows -= rows.dot(self._average)
        variance: Array = np.square(rows).dot(self._average)  # [n, 1]
        variance += self._epsilon
        rows /= np.sqrt(variance, out=variance)
        rows *= scale
        return rows


def _dense(dense: Dense, rows: Array) -> Array:
    """The product with the bias, [n, out]. Numpy's BLAS splits a large one over the cores."""
    product: Array = rows.dot(dense.kernel)
    product += dense.bias
    return product


def _softmax(scores: Array) -> Array:
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, axis=-1, keepdims=True)
    return scores


#: The normal distribution function is (1 + tanh(x p(x^2))) / 2; p of the least largest error of x times it, 7e-8, on
#: [0, 5.6], and rising beyond. Highest coefficient first.
_P = [
    np.float32(a)
    for a in (
        1.80561662e-09,
        -1.33446418e-07,
        3.96910958e-06,
        -5.52401592e-05,
        -3.31299920e-05,
        3.63342835e-02,
        7.97884216e-01,
    )
]


def _gelu(x: Array) -> Array:
    """x times the normal distribution function of x, to 2e-7 of the larger of 1 and |x|."""
    square: Array = x * x
    p: Array = square * _P[0]
    p += _P[1]
    for coefficient in _P[2:]:
        p *= square
        p += coefficient
    p *= x
    np.tanh(p, out=p)
    half = np.multiply(x, np.float32(0.5), out=square)
    p *= half
    p += half
    return p


def _gelu_tanh(x: Array) -> Array:
    inner: Array = x * x * x
    inner *= np.float32(0.044715)
    inner += x
    inner *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner


def _silu(x: Array) -> Array:
    # x times the logistic function, as a tanh, which cannot overflow.
    half: Array = x * np.float32(0.5)
    half += half * np.tanh(half)
    return half


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
    "silu": _silu,
    "swish": _silu,
    "tanh": np.tanh,
}
