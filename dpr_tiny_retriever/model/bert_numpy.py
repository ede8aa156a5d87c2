"""BERT in numpy, one text after the other: for a question or a few texts, where there is no native library.

The same maths as bert_tensorflow.forward, equal to 1e-5, in the forms that numpy does in few passes.
Shapes: n tokens of one text, w hidden size, h heads, d = w / h. All is float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.model.config import Activation, BertConfig, BertWeights, Dense, Layer
from dpr_tiny_retriever.model.finite_vectors import refuse_not_finite
from dpr_tiny_retriever.model.folding import ClsAttention, fold
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import Array


class NumpyBert:
    """The forward pass of one BERT. Thread-safe: nothing of it changes after construction."""

    def __init__(self, config: BertConfig, weights: BertWeights) -> None:
        self._config = config
        self._weights = fold(config, weights)
        self._pooler, self._projection = weights.pooler, weights.projection
        self._activation = _ACTIVATIONS[config.activation]
        self._epsilon = np.float32(config.layer_norm_eps)
        self._average = np.full((config.hidden_size, 1), 1 / config.hidden_size, np.float32)

    def forward_into(self, vectors: Array, tokens: Tokens) -> None:
        """Write the vectors of tokenized texts to [n texts, embedding_dim]; CheckpointError where one is not finite."""
        begin = 0
        starts = zip(tokens.lengths.tolist(), tokens.segment_starts.tolist(), strict=True)
        with np.errstate(over="ignore", invalid="ignore"):
            for row, (length, segment_start) in enumerate(starts):
                vectors[row] = self._vector(tokens.ids[begin : begin + length], segment_start)
                begin += length
        refuse_not_finite(vectors)

    def _vector(self, ids: NDArray[np.int32], segment_start: int) -> Array:
        config, weights, cls_attention = self._config, self._weights, self._weights.cls_attention
        hidden = weights.word_embeddings[ids]  # [n, w]
        hidden += weights.position_embeddings[: len(ids)]
        if segment_start < len(ids):
            hidden[segment_start:] += weights.segment_delta
        hidden = self._norm(weights.embedding_layernorm_scale, hidden)  # [n, w]
        for layer in weights.layers[:-1] if cls_attention else weights.layers:
            hidden = self._layer(layer, hidden, self._attention(layer, hidden))  # [n, w]
        if cls_attention:
            vector = self._layer(weights.layers[-1], hidden[:1], self._attend_cls(cls_attention, hidden))  # [1, w]
        else:
            vector = hidden.mean(axis=0, keepdims=True) if config.pooling == "mean" else hidden[:1]  # [1, w]
        vector = vector + weights.final_layernorm_bias
        if config.pooling == "pooler":
            assert self._pooler is not None
            vector = np.tanh(_dense(self._pooler, vector))  # [1, w]
        if self._projection is not None:
            vector = _dense(self._projection, vector)  # [1, projection_dim]
        if config.normalize:
            vector = vector / max(float(np.sqrt((vector * vector).sum())), 1e-12)  # [1, embedding_dim]
        row: Array = vector[0]
        return row

    def _layer(self, layer: Layer, hidden: Array, context: Array) -> Array:
        """The rest of a transformer layer, for hidden rows [n, w] and their attention's result [n, w]; [n, w]."""
        attn_out = _dense(layer.attention_output, context)
        attn_out += hidden
        attn_out = self._norm(layer.attention_norm.scale, attn_out)  # [n, w]
        ffn_out = _dense(layer.output, self._activation(_dense(layer.intermediate, attn_out)))
        ffn_out += attn_out
        return self._norm(layer.output_norm.scale, ffn_out)  # [n, w]

    def _attention(self, layer: Layer, hidden: Array) -> Array:
        """Multi-head attention of every token to every token, before the output product, [n, w]."""
        heads, width = self._config.num_attention_heads, self._config.hidden_size
        qkv = _dense(layer.query_key_value, hidden).reshape(len(hidden), 3, heads, width // heads)  # [n, 3, h, d]
        query, key, value = qkv.transpose(1, 2, 0, 3)  # 3 x [h, n, d]
        context = _softmax(query @ key.transpose(0, 2, 1)) @ value  # [h, n, d]
        merged: Array = context.transpose(1, 0, 2).reshape(len(hidden), width)
        return merged

    def _attend_cls(self, attention: ClsAttention, hidden: Array) -> Array:
        """Multi-head attention of [CLS] to every token, before the output product, [1, w].

        As in bert_tensorflow: the key and value products are taken once instead of once a token.
        """
        query = _dense(attention.query, hidden[:1]).reshape(len(attention.key), 1, -1)  # [h, 1, d]
        projected_query = (query @ attention.key)[:, 0]  # [h, w]
        weighted_hidden = _softmax(projected_query.dot(hidden.T)).dot(hidden)  # [h, w]
        context: Array = (weighted_hidden[:, None] @ attention.value).reshape(1, -1)  # [1, w]
        context += attention.value_bias
        return context

    def _norm(self, scale: Array, rows: Array) -> Array:
        """LayerNorm of each row, in place, without the offset, [n, w]."""
        rows -= rows.dot(self._average)
        variance: Array = np.square(rows).dot(self._average)  # [n, 1]
        variance += self._epsilon
        rows /= np.sqrt(variance, out=variance)
        rows *= scale
        return rows


def _dense(dense: Dense, rows: Array) -> Array:
    """The product plus bias, [n, out]. Numpy's BLAS splits a large one over the cores."""
    product: Array = rows.dot(dense.kernel)
    product += dense.bias
    return product


def _softmax(scores: Array) -> Array:
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, axis=-1, keepdims=True)
    return scores


#: The normal distribution function is nearly (1 + tanh(x p(x^2))) / 2. The polynomial p, highest coefficient first, is
#: the minimax fit of gelu on [0, 5.6], with an error of at most 7e-8; beyond, the tanh is 1 in float32.
_ERF_TANH_POLYNOMIAL = [
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
    p: Array = square * _ERF_TANH_POLYNOMIAL[0]
    p += _ERF_TANH_POLYNOMIAL[1]
    for coefficient in _ERF_TANH_POLYNOMIAL[2:]:
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


_ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    Activation.GELU: _gelu,
    Activation.GELU_TANH: _gelu_tanh,
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.SILU: _silu,
    Activation.TANH: np.tanh,
}
