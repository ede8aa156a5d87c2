"""BERT in numpy, one text after the other: for a question or a few texts, where TensorFlow's calls would cost more.

The same maths as bert.encode, equal to 1e-5, in the forms that numpy does in few passes; no TensorFlow is imported.
Shapes: n tokens of one text, w hidden size, h heads, d = w / h. All is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.architecture import BertConfig, BertWeights, Dense, Layer, LayerNorm
from dpr_tiny_retriever.tokenization import Tokens

Array: TypeAlias = NDArray[np.float32]

#: Multiplications of a product that OpenBLAS, as it comes with numpy, leaves to one thread.
_ALONE = (1 << 20) - 1


class LightBert:
    """The forward pass of one BERT. Thread-safe: nothing of it changes after construction."""

    def __init__(self, config: BertConfig, weights: BertWeights) -> None:
        self._config = config
        self._weights = weights
        self._activation = ACTIVATIONS[config.hidden_act]
        self._layers = [_scaled(layer, config) for layer in weights.layers]
        embeddings = weights.embeddings
        self._places = embeddings.position + embeddings.segment[0]  # [max_position_embeddings, w]
        # A model of one segment gives its titles and texts the same.
        self._second = embeddings.segment[min(1, len(embeddings.segment) - 1)] - embeddings.segment[0]  # [w]
        self._epsilon = np.float32(config.layer_norm_eps)
        self._average = np.full(config.hidden_size, 1 / config.hidden_size, np.float32)

    def encode(self, tokens: Tokens) -> Array:
        """Vectors [n texts, embedding_dim] of tokenised texts."""
        vectors = np.empty((len(tokens.lengths), self._config.embedding_dim), np.float32)
        begin = 0
        for row, (length, text_start) in enumerate(
            zip(tokens.lengths.tolist(), tokens.text_starts.tolist(), strict=True)
        ):
            vectors[row] = self._vector(tokens.ids[begin : begin + length], text_start)
            begin += length
        return vectors

    def _vector(self, ids: NDArray[np.int32], text_start: int) -> Array:
        config, weights, layers = self._config, self._weights, self._layers
        hidden = weights.embeddings.word[ids]  # [n, w]
        hidden += self._places[: len(ids)]
        if text_start < len(ids):
            hidden[text_start:] += self._second
        hidden = self._norm(weights.embeddings.norm, hidden)  # [n, w]
        whole = config.pooling == "mean"
        for layer in layers if whole else layers[:-1]:
            hidden = self._layer(layer, hidden, self._attend(layer, hidden))  # [n, w]
        if whole:
            vector = hidden.mean(axis=0, keepdims=True)  # [1, w]
        else:  # the last layer's [CLS] alone is read, so it alone is computed
            vector = hidden[:1]  # [1, w]
            if layers:
                vector = self._layer(layers[-1], vector, self._attend_first(layers[-1], hidden))  # [1, w]
            if config.pooling == "pooler":
                assert weights.pooler is not None
                vector = np.tanh(_dense(weights.pooler, vector))  # [1, w]
        if weights.projection is not None:
            vector = _dense(weights.projection, vector)  # [1, projection_dim]
        if config.normalize:
            vector = vector / max(float(np.sqrt((vector * vector).sum())), 1e-12)  # [1, embedding_dim]
        found: Array = vector[0]
        return found

    def _layer(self, layer: Layer, hidden: Array, context: Array) -> Array:
        """What a transformer layer makes of tokens and of what they attended to, [n, w]."""
        attended = _dense(layer.attention_output, context)
        attended += hidden
        attended = self._norm(layer.attention_norm, attended)  # [n, w]
        output = _dense(layer.output, self._activation(_dense(layer.intermediate, attended)))
        output += attended
        return self._norm(layer.output_norm, output)  # [n, w]

    def _attend(self, layer: Layer, hidden: Array) -> Array:
        """Multi-head attention of every token to every token, before the output product, [n, w]."""
        heads, width = self._config.num_attention_heads, self._config.hidden_size
        fused = _dense(layer.query_key_value, hidden).reshape(len(hidden), 3, heads, width // heads)  # [n, 3, h, d]
        query, key, value = fused.transpose(1, 2, 0, 3)  # 3 x [h, n, d]
        context = _softmax(query @ key.transpose(0, 2, 1)) @ value  # [h, n, d]
        joined: Array = context.transpose(1, 0, 2).reshape(len(hidden), width)
        return joined

    def _attend_first(self, layer: Layer, hidden: Array) -> Array:
        """Multi-head attention of the first token to every token, before the output product, [1, w].

        As bert._attend_first: the key and value products are taken once instead of once a token.
        """
        heads, width = self._config.num_attention_heads, self._config.hidden_size
        kernel = layer.query_key_value.kernel.reshape(width, 3, heads, width // heads)
        query_of, key_of, value_of = kernel.transpose(1, 2, 0, 3)  # 3 x [h, w, d]
        bias = layer.query_key_value.bias.reshape(3, heads, 1, width // heads)
        query = hidden[:1] @ query_of + bias[0]  # [h, 1, d]
        # What a key's bias adds is the same for all tokens of a text: the softmax forgets it.
        asked = (query @ key_of.transpose(0, 2, 1))[:, 0]  # [h, w]
        read = _softmax(asked @ hidden.T) @ hidden  # [h, w]
        context: Array = read[:, None] @ value_of + bias[2]  # [h, 1, d]
        return context.reshape(1, width)

    def _norm(self, norm: LayerNorm, rows: Array) -> Array:
        """Layer normalisation of each row, in place of it, [n, w]."""
        rows -= (rows @ self._average)[:, None]
        variance = np.einsum("ij,ij->i", rows, rows)
        variance *= self._average[0]
        variance += self._epsilon
        np.sqrt(variance, out=variance)
        rows /= variance[:, None]
        rows *= norm.scale
        rows += norm.offset
        return rows


def _scaled(layer: Layer, config: BertConfig) -> Layer:
    """The layer with the scores' factor d^-0.5 inside its query product."""
    factor = np.ones(3 * config.hidden_size, np.float32)
    factor[: config.hidden_size] = (config.hidden_size // config.num_attention_heads) ** -0.5
    kernel, bias = layer.query_key_value
    return layer._replace(query_key_value=Dense(kernel * factor, bias * factor))


def _dense(dense: Dense, rows: Array) -> Array:
    """The product with the bias, [n, out], in slices of columns that numpy's BLAS does not split over threads.

    Its threads wait for each other: beside other work that costs many times what they save.
    """
    kernel = dense.kernel
    width = kernel.shape[1]
    parts = -(-rows.size * width // _ALONE)
    if parts <= 1:
        product: Array = rows @ kernel
    else:
        product = np.empty((len(rows), width), np.float32)
        wide = -(-width // parts)
        for first in range(0, width, wide):
            columns = slice(first, first + wide)
            np.matmul(rows, kernel[:, columns], out=product[:, columns])
    product += dense.bias
    return product


def _softmax(scores: Array) -> Array:
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


#: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 7.1.26: the error function to 1.5e-7. Here for
#: z / sqrt(2), with a factor of -1/2 in the coefficients, highest first.
_P = np.float32(0.3275911 * 0.5**0.5)
_A = [np.float32(a / -2) for a in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)]


def _gelu(x: Array) -> Array:
    """x times the normal distribution function of x: max(x, 0) - |x| (1 - Phi(|x|)), to 4e-7."""
    size: Array = np.abs(x)
    t: Array = size * _P
    t += 1
    np.reciprocal(t, out=t)
    tail: Array = t * _A[0]
    for coefficient in _A[1:]:
        tail += coefficient
        tail *= t
    np.multiply(x, x, out=t)
    t *= np.float32(-0.5)
    np.exp(t, out=t)
    tail *= t
    tail *= size
    tail += np.maximum(x, 0)
    return tail


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
