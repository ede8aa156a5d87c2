"""BERT in TensorFlow as a pure function: weights and token ids in, one vector a text out.

Devlin et al. 2019, with the vector of each text taken as dense passage retrieval does (Karpukhin et al. 2020).
Shapes: b texts, l tokens, t = b * l, w hidden size, h heads, d = w / h. Ids are int32, all else is the weights' type.
Tokens are rows of a matrix [t, w] wherever they do not look at each other, so that every dense product is one large
one, and its bias and activation are fused into it by TensorFlow's graph optimizer.
Training can replace the operations between matrix products, which are the methods of Elementwise.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.model.config import Activation, BertConfig, BertWeights, Dense, Embeddings, Layer, LayerNorm
from dpr_tiny_retriever.types import Tensor


def _gelu(x: Tensor) -> Tensor:
    # In this form TensorFlow's optimizer recognises it, and makes one kernel of product, bias and activation.
    return (tf.math.erf(x * 0.5**0.5) + 1.0) * 0.5 * x


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    Activation.GELU: _gelu,
    Activation.GELU_TANH: lambda x: tf.nn.gelu(x, approximate=True),
    Activation.RELU: tf.nn.relu,
    Activation.SILU: tf.nn.silu,
    Activation.TANH: tf.tanh,
}


def _identity(x: Tensor) -> Tensor:
    return x


class Elementwise:
    """The operations between matrix products: bias, activation, dropout, residual sum and layer normalization."""

    def __init__(self, config: BertConfig, drop: Callable[[Tensor], Tensor] = _identity) -> None:
        """Apply drop wherever BERT has dropout, and to the pooled vector; the identity for inference."""
        self.config = config
        self.drop = drop

    def biased(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Add the bias [c] to rows [t, c]."""
        return tf.nn.bias_add(rows, bias)

    def activated(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Add the bias [c] to rows [t, c] and apply the activation."""
        return activate(self.config.activation, self.biased(rows, bias))

    def added_and_normalized(self, norm: LayerNorm, residual: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
        """Return LayerNorm(residual + rows + bias) [t, w]; residual and rows are [t, w], bias is [w]."""
        return self.normalized(norm, residual + self.drop(self.biased(rows, bias)))

    def normalized(self, norm: LayerNorm, rows: Tensor) -> Tensor:
        """Layer-normalize rows [t, w]."""
        # As a batch normalization whose channels are our rows: TensorFlow's optimizer fuses it with the scale and
        # offset. (It also fuses the plain form, but then replaces epsilon by its own 1e-3.)
        count, width = tf.shape(rows)[0], self.config.hidden_size
        normalized = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(rows, [1, count, width, 1]),
            scale=tf.fill([count], 1.0),
            offset=tf.fill([count], 0.0),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=self.config.layer_norm_eps,
            data_format="NCHW",
            is_training=True,
        )[0]  # [1, t, w, 1]
        return tf.reshape(normalized, [count, width]) * norm.scale + norm.offset  # [t, w]


def activate(activation: Activation, rows: Tensor) -> Tensor:
    """Apply an activation to each number."""
    return _ACTIVATIONS[activation](rows)


def forward(
    weights: BertWeights, config: BertConfig, tokens: TokenBatch, elementwise: Elementwise | None = None
) -> Tensor:
    """Vectors [b, embedding_dim] of a batch of texts.

    tokens are padded with any valid id; a length is at least 1; a segment start of l or more means that there is no
    second segment. elementwise replaces the default operations, with dropout or compiled kernels.
    """
    ops = elementwise or Elementwise(config)
    token_ids, lengths, segment_starts = tokens
    batch, length = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
    positions = tf.range(length)  # [l]
    attended = positions[None, :] < lengths[:, None]  # [b, l]
    segments = tf.cast(positions[None, :] >= segment_starts[:, None], tf.int32)  # [b, l]

    hidden = ops.drop(_embed(weights.embeddings, ops, token_ids, segments))  # [t, w]
    mask = tf.cast(tf.where(attended, 0.0, -1e9), hidden.dtype)[:, None, None, :]  # [b, 1, 1, l]
    for layer in weights.layers[:-1]:
        hidden = _layer(layer, ops, hidden, _attention(layer, ops, hidden, mask))  # [t, w]
    last = weights.layers[-1] if weights.layers else None  # None: a bag of words
    if config.pooling == "mean":
        if last is not None:
            hidden = _layer(last, ops, hidden, _attention(last, ops, hidden, mask))  # [t, w]
        shares = tf.cast(attended, hidden.dtype) / tf.cast(lengths, hidden.dtype)[:, None]  # [b, l]
        by_text = tf.reshape(hidden, [batch, length, config.hidden_size])  # [b, l, w]
        vectors = tf.matmul(shares[:, None, :], by_text)[:, 0]  # [b, w]
    else:  # the last layer's [CLS] alone is read, so it alone is computed
        by_text = tf.reshape(hidden, [batch, length, config.hidden_size])  # [b, l, w]
        vectors = by_text[:, 0]  # [b, w]
        if last is not None:
            vectors = _layer(last, ops, vectors, _attend_cls(last, ops, by_text, mask))  # [b, w]
        if config.pooling == "pooler":
            vectors = tf.tanh(_dense(_present(weights.pooler), vectors))  # [b, w]

    vectors = ops.drop(vectors)  # [b, w]
    if weights.projection is not None:
        vectors = _dense(weights.projection, vectors)  # [b, projection_dim]
    if config.normalize:
        # In float32, whatever the weights are in: in bfloat16 lengths would differ from 1 by up to 0.5 %.
        vectors = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1, epsilon=1e-24)  # [b, embedding_dim]
    return vectors


def _embed(embeddings: Embeddings, ops: Elementwise, token_ids: Tensor, segments: Tensor) -> Tensor:
    """The sum of word, position and segment embeddings, layer-normalized, [t, w]."""
    words = tf.gather(embeddings.word, token_ids)  # [b, l, w]
    positions = tf.gather(embeddings.position, tf.range(tf.shape(token_ids)[1]))  # [l, w]
    segment = tf.gather(embeddings.segment, segments)  # [b, l, w]
    rows = tf.reshape(words + positions + segment, [-1, ops.config.hidden_size])  # [t, w]
    return ops.normalized(embeddings.norm, rows)  # [t, w]


def _layer(layer: Layer, ops: Elementwise, hidden: Tensor, context: Tensor) -> Tensor:
    """The rest of a transformer layer, for hidden rows [t, w] and their attention's result [t, w]; [t, w]."""
    dense = layer.attention_output
    attn_out = ops.added_and_normalized(
        layer.attention_norm, hidden, tf.matmul(context, dense.kernel), dense.bias
    )  # [t, w]
    ffn_in = ops.activated(tf.matmul(attn_out, layer.intermediate.kernel), layer.intermediate.bias)  # [t, inner]
    rows = tf.matmul(ffn_in, layer.output.kernel)  # [t, w]
    return ops.added_and_normalized(layer.output_norm, attn_out, rows, layer.output.bias)  # [t, w]


def _attention(layer: Layer, ops: Elementwise, hidden: Tensor, mask: Tensor) -> Tensor:
    """Multi-head attention of every token to every token of its text, before the output product, [t, w]."""
    width, heads = ops.config.hidden_size, ops.config.num_attention_heads
    size = width // heads
    qkv = ops.biased(tf.matmul(hidden, layer.query_key_value.kernel), layer.query_key_value.bias)  # [t, 3w]
    by_head = tf.reshape(qkv, [tf.shape(mask)[0], tf.shape(mask)[3], 3, heads, size])  # [b, l, 3, h, d]
    query, key, value = tf.unstack(tf.transpose(by_head, [2, 0, 3, 1, 4]))  # 3 x [b, h, l, d]
    scores = tf.matmul(query, key, transpose_b=True) * size**-0.5 + mask  # [b, h, l, l]
    context = tf.matmul(ops.drop(tf.nn.softmax(scores)), value)  # [b, h, l, d]
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, width])  # [t, w]


def _attend_cls(layer: Layer, ops: Elementwise, by_text: Tensor, mask: Tensor) -> Tensor:
    """Multi-head attention of [CLS] to all tokens [b, l, w] of its text, before the output product, [b, w].

    For the one query of a head, q (x K)' = (q K') x' and p (x V) = (p x) V: the key and value products are taken once a
    text instead of once a token.
    """
    width, heads = ops.config.hidden_size, ops.config.num_attention_heads
    kernel = tf.reshape(layer.query_key_value.kernel, [width, 3, heads, width // heads])  # [w, 3, h, d]
    bias = tf.reshape(layer.query_key_value.bias, [3, heads, 1, width // heads])  # [3, h, 1, d]
    query_of, key_of, value_of = tf.unstack(tf.transpose(kernel, [1, 2, 0, 3]))  # 3 x [h, w, d]
    query = (tf.matmul(by_text[None, :, 0], query_of) + bias[0]) * (width // heads) ** -0.5  # [h, b, d]
    projected_query = tf.transpose(tf.matmul(query, key_of, transpose_b=True), [1, 0, 2])  # [b, h, w]
    offset = tf.transpose(tf.matmul(query, bias[1], transpose_b=True), [1, 0, 2])  # [b, h, 1]
    scores = tf.matmul(projected_query, by_text, transpose_b=True) + offset + mask[:, 0]  # [b, h, l]
    shares = ops.drop(tf.nn.softmax(scores))  # [b, h, l]
    weighted_hidden = tf.transpose(tf.matmul(shares, by_text), [1, 0, 2])  # [h, b, w]
    total = tf.transpose(tf.reduce_sum(shares, axis=-1, keepdims=True), [1, 0, 2])  # [h, b, 1]: 1 without dropout
    context = tf.matmul(weighted_hidden, value_of) + total * bias[2]  # [h, b, d]
    return tf.reshape(tf.transpose(context, [1, 0, 2]), [-1, width])  # [b, w]


def _dense(dense: Dense, rows: Tensor) -> Tensor:
    return tf.nn.bias_add(tf.matmul(rows, dense.kernel), dense.bias)  # [t, out]


def _present(pooler: Dense | None) -> Dense:
    if pooler is None:
        raise ValueError("pooling is 'pooler', but these weights have none; expected one, or 'cls' or 'mean'")
    return pooler
