"""BERT in TensorFlow as a pure function: weights and token ids in, one vector a text out.

Devlin et al. 2019, with the vector of each text taken as dense passage retrieval does (Karpukhin et al. 2020).
Shapes: b texts, l tokens, t = b * l, w hidden size, h heads, d = w / h. Ids are int32, all else is the weights' type.
Tokens are rows of a matrix [t, w] wherever they do not look at each other, so that every dense product is one large
one, and its bias and activation are fused into it by TensorFlow's graph optimizer.
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


def forward(
    weights: BertWeights, config: BertConfig, tokens: TokenBatch, drop: Callable[[Tensor], Tensor] = _identity
) -> Tensor:
    """Vectors [b, embedding_dim] of a batch of texts.

    tokens are padded with any valid id; a length is at least 1; a segment start of l or more means that there is no
    second segment. drop is applied where BERT has dropout and to the vector before normalization: the identity for
    inference, a dropout function in training.
    """
    token_ids, lengths, segment_starts = tokens
    batch, length = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
    positions = tf.range(length)  # [l]
    attended = positions[None, :] < lengths[:, None]  # [b, l]
    segments = tf.cast(positions[None, :] >= segment_starts[:, None], tf.int32)  # [b, l]

    hidden = drop(_embed(weights.embeddings, config, token_ids, segments))  # [t, w]
    mask = tf.cast(tf.where(attended, 0.0, -1e9), hidden.dtype)[:, None, None, :]  # [b, 1, 1, l]
    for layer in weights.layers[:-1]:
        hidden = _layer(layer, config, hidden, _attention(layer, config, hidden, mask, drop), drop)  # [t, w]
    last = weights.layers[-1] if weights.layers else None  # None: a bag of words
    if config.pooling == "mean":
        if last is not None:
            hidden = _layer(last, config, hidden, _attention(last, config, hidden, mask, drop), drop)  # [t, w]
        shares = tf.cast(attended, hidden.dtype) / tf.cast(lengths, hidden.dtype)[:, None]  # [b, l]
        by_text = tf.reshape(hidden, [batch, length, config.hidden_size])  # [b, l, w]
        vectors = tf.matmul(shares[:, None, :], by_text)[:, 0]  # [b, w]
    else:  # the last layer's [CLS] alone is read, so it alone is computed
        by_text = tf.reshape(hidden, [batch, length, config.hidden_size])  # [b, l, w]
        vectors = by_text[:, 0]  # [b, w]
        if last is not None:
            vectors = _layer(last, config, vectors, _attend_cls(last, config, by_text, mask, drop), drop)  # [b, w]
        if config.pooling == "pooler":
            vectors = tf.tanh(_dense(_present(weights.pooler), vectors))  # [b, w]

    vectors = drop(vectors)  # [b, w]
    if weights.projection is not None:
        vectors = _dense(weights.projection, vectors)  # [b, projection_dim]
    if config.normalize:
        # In float32, whatever the weights are in: in bfloat16 lengths would differ from 1 by up to 0.5 %.
        vectors = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1, epsilon=1e-24)  # [b, embedding_dim]
    return vectors


def _embed(embeddings: Embeddings, config: BertConfig, token_ids: Tensor, segments: Tensor) -> Tensor:
    """The sum of word, position and segment embeddings, layer-normalized, [t, w]."""
    words = tf.gather(embeddings.word, token_ids)  # [b, l, w]
    positions = tf.gather(embeddings.position, tf.range(tf.shape(token_ids)[1]))  # [l, w]
    segment = tf.gather(embeddings.segment, segments)  # [b, l, w]
    rows = tf.reshape(words + positions + segment, [-1, config.hidden_size])  # [t, w]
    return _norm(embeddings.norm, config, rows)  # [t, w]


def _layer(
    layer: Layer, config: BertConfig, hidden: Tensor, context: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """The rest of a transformer layer, for hidden rows [t, w] and their attention's result [t, w]; [t, w]."""
    attn_out = _norm(layer.attention_norm, config, hidden + drop(_dense(layer.attention_output, context)))  # [t, w]
    ffn_in = _ACTIVATIONS[config.activation](_dense(layer.intermediate, attn_out))  # [t, intermediate_size]
    return _norm(layer.output_norm, config, attn_out + drop(_dense(layer.output, ffn_in)))  # [t, w]


def _attention(
    layer: Layer, config: BertConfig, hidden: Tensor, mask: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """Multi-head attention of every token to every token of its text, before the output product, [t, w]."""
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    qkv = _dense(layer.query_key_value, hidden)  # [t, 3w]
    by_head = tf.reshape(qkv, [tf.shape(mask)[0], tf.shape(mask)[3], 3, heads, size])  # [b, l, 3, h, d]
    query, key, value = tf.unstack(tf.transpose(by_head, [2, 0, 3, 1, 4]))  # 3 x [b, h, l, d]
    scores = tf.matmul(query, key, transpose_b=True) * size**-0.5 + mask  # [b, h, l, l]
    context = tf.matmul(drop(tf.nn.softmax(scores)), value)  # [b, h, l, d]
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, config.hidden_size])  # [t, w]


def _attend_cls(
    layer: Layer, config: BertConfig, by_text: Tensor, mask: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """Multi-head attention of [CLS] to all tokens [b, l, w] of its text, before the output product, [b, w].

    For the one query of a head, q (x K)' = (q K') x' and p (x V) = (p x) V: the key and value products are taken once a
    text instead of once a token.
    """
    width, heads = config.hidden_size, config.num_attention_heads
    kernel = tf.reshape(layer.query_key_value.kernel, [width, 3, heads, width // heads])  # [w, 3, h, d]
    bias = tf.reshape(layer.query_key_value.bias, [3, heads, 1, width // heads])  # [3, h, 1, d]
    query_of, key_of, value_of = tf.unstack(tf.transpose(kernel, [1, 2, 0, 3]))  # 3 x [h, w, d]
    query = (tf.matmul(by_text[None, :, 0], query_of) + bias[0]) * (width // heads) ** -0.5  # [h, b, d]
    projected_query = tf.transpose(tf.matmul(query, key_of, transpose_b=True), [1, 0, 2])  # [b, h, w]
    offset = tf.transpose(tf.matmul(query, bias[1], transpose_b=True), [1, 0, 2])  # [b, h, 1]
    scores = tf.matmul(projected_query, by_text, transpose_b=True) + offset + mask[:, 0]  # [b, h, l]
    shares = drop(tf.nn.softmax(scores))  # [b, h, l]
    weighted_hidden = tf.transpose(tf.matmul(shares, by_text), [1, 0, 2])  # [h, b, w]
    total = tf.transpose(tf.reduce_sum(shares, axis=-1, keepdims=True), [1, 0, 2])  # [h, b, 1]: 1 without dropout
    context = tf.matmul(weighted_hidden, value_of) + total * bias[2]  # [h, b, d]
    return tf.reshape(tf.transpose(context, [1, 0, 2]), [-1, width])  # [b, w]


def _dense(dense: Dense, rows: Tensor) -> Tensor:
    return tf.nn.bias_add(tf.matmul(rows, dense.kernel), dense.bias)  # [t, out]


def _norm(norm: LayerNorm, config: BertConfig, rows: Tensor) -> Tensor:
    """Layer normalization of each row, [t, w]."""
    # As a batch normalization whose channels are our rows: TensorFlow's optimizer fuses it with the scale and offset.
    # (It also fuses the plain form, but then replaces epsilon by its own 1e-3.)
    count, width = tf.shape(rows)[0], config.hidden_size
    normalized = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(rows, [1, count, width, 1]),
        scale=tf.fill([count], 1.0),
        offset=tf.fill([count], 0.0),
        mean=tf.constant([], tf.float32),
        variance=tf.constant([], tf.float32),
        epsilon=config.layer_norm_eps,
        data_format="NCHW",
        is_training=True,
    )[0]  # [1, t, w, 1]
    return tf.reshape(normalized, [count, width]) * norm.scale + norm.offset  # [t, w]


def _present(pooler: Dense | None) -> Dense:
    if pooler is None:
        raise ValueError("pooling is 'pooler', but these weights have none; expected one, or 'cls' or 'mean'")
    return pooler
