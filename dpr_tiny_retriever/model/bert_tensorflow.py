"""BERT in TensorFlow as a pure function: weights and token ids in, one vector a text out.

Devlin et al. 2019, with the vector of each text taken as dense passage retrieval does (Karpukhin et al. 2020).
Shapes: b texts, l tokens, t = b * l, w hidden size, h heads, d = w / h. Ids are int32, all else is the weights' type.
Tokens are rows of a matrix [t, w] wherever they do not look at each other, so that every dense product is one large
one, and its bias and activation are fused into it by TensorFlow's graph optimiser.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Embeddings, Layer, LayerNorm
from dpr_tiny_retriever.types import Tensor


def _gelu(x: Tensor) -> Tensor:
    # In this form TensorFlow's optimiser recognises it, and makes one kernel of product, bias and activation.
    return (tf.math.erf(x * 0.5**0.5) + 1.0) * 0.5 * x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": _gelu,
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "silu": tf.nn.silu,
    "swish": tf.nn.silu,
    "tanh": tf.tanh,
}


def _keep(x: Tensor) -> Tensor:
    return x


def encode(
    weights: BertWeights,
    config: BertConfig,
    token_ids: Tensor,
    lengths: Tensor,
    segment_starts: Tensor,
    drop: Callable[[Tensor], Tensor] = _keep,
) -> Tensor:
    """Encode texts to vectors [b, embedding_dim].

    token_ids [b, l] int32, padded at the end with any valid id; lengths [b] int32, the tokens that count, at least 1;
    segment_starts [b] int32, the position from which the segment id is 1 (l or more: nowhere). drop is applied where
    BERT has dropout and to the vector before normalisation: the identity in use, a dropout function in training.
    """
    batch, length = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
    positions = tf.range(length)  # [l]
    attended = positions[None, :] < lengths[:, None]  # [b, l]
    segments = tf.cast(positions[None, :] >= segment_starts[:, None], tf.int32)  # [b, l]

    hidden = drop(_embed(weights.embeddings, config, token_ids, segments))  # [t, w]
    mask = tf.cast(tf.where(attended, 0.0, -1e9), hidden.dtype)[:, None, None, :]  # [b, 1, 1, l]
    for layer in weights.layers[:-1]:
        hidden = _layer(layer, config, hidden, _attend(layer, config, hidden, mask, drop), drop)  # [t, w]
    last = weights.layers[-1] if weights.layers else None  # None: a bag of words
    if config.pooling == "mean":
        if last is not None:
            hidden = _layer(last, config, hidden, _attend(last, config, hidden, mask, drop), drop)  # [t, w]
        shares = tf.cast(attended, hidden.dtype) / tf.cast(lengths, hidden.dtype)[:, None]  # [b, l]
        tokens = tf.reshape(hidden, [batch, length, config.hidden_size])  # [b, l, w]
        vectors = tf.matmul(shares[:, None, :], tokens)[:, 0]  # [b, w]
    else:  # the last layer's [CLS] alone is read, so it alone is computed
        tokens = tf.reshape(hidden, [batch, length, config.hidden_size])  # [b, l, w]
        vectors = tokens[:, 0]  # [b, w]
        if last is not None:
            vectors = _layer(last, config, vectors, _attend_first(last, config, tokens, mask, drop), drop)  # [b, w]
        if config.pooling == "pooler":
            vectors = tf.tanh(_dense(_present(weights.pooler), vectors))  # [b, w]

    vectors = drop(vectors)  # [b, w]
    if weights.projection is not None:
        vectors = _dense(weights.projection, vectors)  # [b, projection_dim]
    if config.normalize:
        # In float32, whatever the weights are in: bfloat16 is no unit length to 0.5 %.
        vectors = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1, epsilon=1e-24)  # [b, embedding_dim]
    return vectors


def _embed(embeddings: Embeddings, config: BertConfig, token_ids: Tensor, segments: Tensor) -> Tensor:
    """The sum of word, position and segment embeddings, normalised, [t, w]."""
    words = tf.gather(embeddings.word, token_ids)  # [b, l, w]
    positions = tf.gather(embeddings.position, tf.range(tf.shape(token_ids)[1]))  # [l, w]
    kinds = tf.gather(embeddings.segment, segments)  # [b, l, w]
    rows = tf.reshape(words + positions + kinds, [-1, config.hidden_size])  # [t, w]
    return _norm(embeddings.norm, config, rows)  # [t, w]


def _layer(
    layer: Layer, config: BertConfig, hidden: Tensor, context: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """What a transformer layer makes of tokens and of what they attended to, row by row."""
    attended = _norm(layer.attention_norm, config, hidden + drop(_dense(layer.attention_output, context)))  # [t, w]
    widened = ACTIVATIONS[config.hidden_act](_dense(layer.intermediate, attended))  # [t, intermediate_size]
    return _norm(layer.output_norm, config, attended + drop(_dense(layer.output, widened)))  # [t, w]


def _attend(layer: Layer, config: BertConfig, hidden: Tensor, mask: Tensor, drop: Callable[[Tensor], Tensor]) -> Tensor:
    """Multi-head attention of every token to every token of its text, before the output product, [t, w]."""
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    fused = _dense(layer.query_key_value, hidden)  # [t, 3w]
    parted = tf.reshape(fused, [tf.shape(mask)[0], tf.shape(mask)[3], 3, heads, size])  # [b, l, 3, h, d]
    query, key, value = tf.unstack(tf.transpose(parted, [2, 0, 3, 1, 4]))  # 3 x [b, h, l, d]
    scores = tf.matmul(query, key, transpose_b=True) * size**-0.5 + mask  # [b, h, l, l]
    context = tf.matmul(drop(tf.nn.softmax(scores)), value)  # [b, h, l, d]
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, config.hidden_size])  # [t, w]


def _attend_first(
    layer: Layer, config: BertConfig, tokens: Tensor, mask: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """Multi-head attention of the first token to all tokens [b, l, w] of its text, before the output product, [b, w].

    For one query a head, q (x K) = (q K') x and p (x V) = (p x) V: the key and value products are taken once a text
    instead of once a token.
    """
    width, heads = config.hidden_size, config.num_attention_heads
    kernel = tf.reshape(layer.query_key_value.kernel, [width, 3, heads, width // heads])  # [w, 3, h, d]
    bias = tf.reshape(layer.query_key_value.bias, [3, heads, 1, width // heads])  # [3, h, 1, d]
    query_of, key_of, value_of = tf.unstack(tf.transpose(kernel, [1, 2, 0, 3]))  # 3 x [h, w, d]
    query = (tf.matmul(tokens[None, :, 0], query_of) + bias[0]) * (width // heads) ** -0.5  # [h, b, d]
    asked = tf.transpose(tf.matmul(query, key_of, transpose_b=True), [1, 0, 2])  # [b, h, w]
    offset = tf.transpose(tf.matmul(query, bias[1], transpose_b=True), [1, 0, 2])  # [b, h, 1]
    scores = tf.matmul(asked, tokens, transpose_b=True) + offset + mask[:, 0]  # [b, h, l]
    shares = drop(tf.nn.softmax(scores))  # [b, h, l]
    read = tf.transpose(tf.matmul(shares, tokens), [1, 0, 2])  # [h, b, w]
    total = tf.transpose(tf.reduce_sum(shares, axis=-1, keepdims=True), [1, 0, 2])  # [h, b, 1]: 1 without dropout
    context = tf.matmul(read, value_of) + total * bias[2]  # [h, b, d]
    return tf.reshape(tf.transpose(context, [1, 0, 2]), [-1, width])  # [b, w]


def _dense(dense: Dense, rows: Tensor) -> Tensor:
    return tf.nn.bias_add(tf.matmul(rows, dense.kernel), dense.bias)  # [t, out]


def _norm(norm: LayerNorm, config: BertConfig, rows: Tensor) -> Tensor:
    """Layer normalisation of each row, [t, w]."""
    # As the batch normalisation of rows taken for channels, which TensorFlow's optimiser makes one kernel with the
    # scale and offset. (It also knows the plain form, but then replaces epsilon by its own 1e-3.)
    count, width = tf.shape(rows)[0], config.hidden_size
    normalised = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(rows, [1, count, width, 1]),
        scale=tf.fill([count], 1.0),
        offset=tf.fill([count], 0.0),
        mean=tf.constant([], tf.float32),
        variance=tf.constant([], tf.float32),
        epsilon=config.layer_norm_eps,
        data_format="NCHW",
        is_training=True,
    )[0]  # [1, t, w, 1]
    return tf.reshape(normalised, [count, width]) * norm.scale + norm.offset  # [t, w]


def _present(pooler: Dense | None) -> Dense:
    if pooler is None:
        raise ValueError("pooling is 'pooler', but these weights have none; expected one, or 'cls' or 'mean'")
    return pooler
