"""BERT in TensorFlow as a pure function: weights and token ids in, one vector a text out.

Devlin et al. 2019, with the vector of each text taken as dense passage retrieval does (Karpukhin et al. 2020).
Shapes: b texts, l tokens, w hidden size, h heads, d = w / h. All ids are int32, everything else is the weights' type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from dpr_tiny_retriever.presets import Pooling

import tensorflow as tf

Tensor: TypeAlias = Any  # a numpy array, tf.Tensor or tf.Variable: TensorFlow ships no types


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


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
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
    text_starts: Tensor,
    drop: Callable[[Tensor], Tensor] = _keep,
) -> Tensor:
    """Encode texts to vectors [b, embedding_dim].

    token_ids [b, l] int32, padded at the end with any valid id; lengths [b] int32, the tokens that count, at least 1;
    text_starts [b] int32, the position from which the segment id is 1 (l or more: nowhere). drop is applied where BERT
    has dropout and to the vector before normalisation: the identity in use, a dropout function in training.
    """
    positions = tf.range(tf.shape(token_ids)[1])  # [l]
    attended = positions[None, :] < lengths[:, None]  # [b, l]
    mask = tf.where(attended, 0.0, -1e9)[:, None, None, :]  # [b, 1, 1, l]
    segments = tf.cast(positions[None, :] >= text_starts[:, None], tf.int32)  # [b, l]

    hidden = drop(_embed(weights.embeddings, config, token_ids, segments))  # [b, l, w]
    for layer in weights.layers[:-1]:
        hidden = _layer(layer, config, hidden, hidden, mask, drop)  # [b, l, w]
    # Only the mean needs every token of the last layer; the other poolings read the first one alone.
    read = hidden if config.pooling == "mean" else hidden[:, :1]  # [b, l or 1, w]
    hidden = _layer(weights.layers[-1], config, read, hidden, mask, drop)  # [b, l or 1, w]

    vectors = drop(_pool(weights, config, hidden, attended))  # [b, w]
    if weights.projection is not None:
        vectors = _dense(weights.projection, vectors)  # [b, projection_dim]
    if config.normalize:
        vectors = tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-24)  # [b, embedding_dim]
    return vectors


def _embed(embeddings: Embeddings, config: BertConfig, token_ids: Tensor, segments: Tensor) -> Tensor:
    words = tf.gather(embeddings.word, token_ids)  # [b, l, w]
    positions = embeddings.position[: tf.shape(token_ids)[1]]  # [l, w]
    kinds = tf.gather(embeddings.segment, segments)  # [b, l, w]
    return _norm(embeddings.norm, config, words + positions + kinds)  # [b, l, w]


def _layer(
    layer: Layer, config: BertConfig, read: Tensor, hidden: Tensor, mask: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """One transformer layer: the positions in read [b, r, w] look at all of hidden [b, l, w]."""
    context = drop(_dense(layer.attention_output, _attend(layer.query_key_value, config, read, hidden, mask, drop)))
    attended = _norm(layer.attention_norm, config, read + context)  # [b, r, w]
    widened = ACTIVATIONS[config.hidden_act](_dense(layer.intermediate, attended))  # [b, r, intermediate_size]
    narrowed = drop(_dense(layer.output, widened))  # [b, r, w]
    return _norm(layer.output_norm, config, attended + narrowed)  # [b, r, w]


def _attend(
    fused: Dense, config: BertConfig, read: Tensor, hidden: Tensor, mask: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """Multi-head attention before its output product, [b, r, w]."""
    width, heads = config.hidden_size, config.num_attention_heads
    if read is hidden:
        query, key, value = tf.split(_dense(fused, hidden), 3, axis=-1)  # 3 x [b, l, w]
    else:
        query = _dense(Dense(fused.kernel[:, :width], fused.bias[:width]), read)  # [b, r, w]
        key, value = tf.split(_dense(Dense(fused.kernel[:, width:], fused.bias[width:]), hidden), 2, axis=-1)
    query, key, value = (_split_heads(x, heads) for x in (query, key, value))  # [b, h, r or l, d]
    scores = tf.matmul(query * (width // heads) ** -0.5, key, transpose_b=True) + mask  # [b, h, r, l]
    context = tf.matmul(drop(tf.nn.softmax(scores)), value)  # [b, h, r, d]
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), tf.shape(read))  # [b, r, w]


def _split_heads(x: Tensor, heads: int) -> Tensor:
    batch, length, width = tf.shape(x)[0], tf.shape(x)[1], x.shape[-1]
    return tf.transpose(tf.reshape(x, [batch, length, heads, width // heads]), [0, 2, 1, 3])  # [b, h, l, d]


def _pool(weights: BertWeights, config: BertConfig, hidden: Tensor, attended: Tensor) -> Tensor:
    """The vector of each text before projection and normalisation, [b, w]."""
    if config.pooling == "mean":
        counted = tf.cast(attended, hidden.dtype)[:, :, None]  # [b, l, 1]
        return tf.reduce_sum(hidden * counted, axis=1) / tf.reduce_sum(counted, axis=1)  # [b, w]
    first = hidden[:, 0]  # [b, w]
    return tf.tanh(_dense(weights.pooler, first)) if config.pooling == "pooler" else first  # [b, w]


def _dense(dense: Dense | None, x: Tensor) -> Tensor:
    if dense is None:
        raise ValueError("pooling is 'pooler', but these weights have none; expected a pooler, or pooling 'cls' or 'mean'")
    if x.shape.rank == 2:
        return tf.nn.bias_add(tf.matmul(x, dense.kernel), dense.bias)  # [b, out]
    rows = tf.reshape(x, [-1, dense.kernel.shape[0]])  # [b * l, in]: one large product instead of b small ones
    product = tf.nn.bias_add(tf.matmul(rows, dense.kernel), dense.bias)  # [b * l, out]
    return tf.reshape(product, tf.concat([tf.shape(x)[:-1], dense.kernel.shape[1:]], axis=0))  # [b, l, out]


def _norm(norm: LayerNorm, config: BertConfig, x: Tensor) -> Tensor:
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)  # [b, l, 1]
    return (x - mean) * (tf.math.rsqrt(variance + config.layer_norm_eps) * norm.scale) + norm.offset  # [b, l, w]
