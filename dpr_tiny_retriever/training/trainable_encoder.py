"""The weights of an encoder as Keras variables, and its vectors with gradients: at once, or in bounded memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from dpr_tiny_retriever.model.batching import LENGTH_STEP, TokenBatch
from dpr_tiny_retriever.model.bert_tensorflow import Elementwise, forward
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.tree import tree_map, tree_paths
from dpr_tiny_retriever.training.compiled_elementwise import CompiledElementwise
from dpr_tiny_retriever.types import Tensor

Dropout: TypeAlias = Callable[[Tensor], Tensor]


class TrainableEncoder(keras.layers.Layer):  # type: ignore[misc]
    """One encoder in training. Variables are float32 and named by their path in BertWeights.

    Dropout is for the vector, or with dropout_inside wherever BERT has it.
    """

    def __init__(
        self,
        config: BertConfig,
        weights: BertWeights,
        *,
        compute_dtype: str,
        compiled: bool = False,
        dropout_inside: bool = False,
        name: str,
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self.config = config
        self.dropout_inside = dropout_inside
        self._compute_dtype_of_products = tf.as_dtype(compute_dtype)
        # The vector is normalized by forward() below, in float32 and after its dropout.
        self._forward_config = dataclasses.replace(config, normalize=False)
        self._compiled = CompiledElementwise(self._forward_config) if compiled else None
        self._shape = tree_map(lambda _: 0, weights)
        for path, array in tree_paths(weights):
            self.add_weight(
                shape=array.shape, initializer=keras.initializers.Constant(array), name=path.replace(".", "_")
            )
        self.built = True

    def arrays(self) -> BertWeights:
        """The present weights as float32 arrays."""
        return self._structure(np.array(variable.value.numpy()) for variable in self.weights)

    def forward(self, texts: TokenBatch, dropout: Dropout | None = None) -> Tensor:
        """Vectors [n, d] float32 of texts, with gradients."""
        weights = self._structure(tf.cast(variable.value, self._compute_dtype_of_products) for variable in self.weights)
        elementwise: Elementwise | None = self._compiled
        if dropout is not None and self.dropout_inside:
            elementwise = Elementwise(self._forward_config, dropout)
        vectors = tf.cast(forward(weights, self._forward_config, texts, elementwise), tf.float32)
        if dropout is not None and not self.dropout_inside:
            vectors = dropout(vectors)
        return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-24) if self.config.normalize else vectors

    @functools.cached_property
    def graph(self) -> Callable[..., Tensor]:
        """The forward pass of the present weights without dropout, one graph for every batch size and length."""
        signature = [tf.TensorSpec(shape, tf.int32) for shape in ([None, None], [None], [None])]
        graph: Callable[..., Tensor] = tf.function(
            lambda *parts: self.forward(TokenBatch(*parts)), input_signature=signature, autograph=False
        )
        return graph

    def forward_sorted(self, texts: TokenBatch, parts: int, dropout: Dropout | None) -> Tensor:
        """As forward, in parts of like length, at most as many as texts: less padding, the same vectors."""
        order = tf.argsort(texts.lengths, stable=True)
        count = tf.shape(order)[0]
        vectors = [
            self.forward(_taken(texts, order[count * part // parts : count * (part + 1) // parts]), dropout)
            for part in range(parts)
        ]
        return tf.gather(tf.concat(vectors, 0), tf.argsort(order))

    def forward_in_chunks(self, texts: TokenBatch, size: int, dropout: Callable[[Tensor], Dropout | None]) -> Tensor:
        """Vectors [n, d] without gradients, size texts at a time; dropout gives each chunk its own."""
        order = tf.argsort(texts.lengths, stable=True)
        count = tf.shape(order)[0]
        chunks = (count + size - 1) // size
        vectors = tf.TensorArray(tf.float32, chunks, infer_shape=False, element_shape=[None, self.config.embedding_dim])

        def body(chunk: Tensor, vectors: Any) -> Any:
            part = _taken(texts, order[chunk * size : (chunk + 1) * size])
            return chunk + 1, vectors.write(chunk, self.forward(part, dropout(chunk)))

        _, vectors = tf.while_loop(lambda chunk, _: chunk < chunks, body, (0, vectors), parallel_iterations=1)
        return tf.gather(vectors.concat(), tf.argsort(order))

    def gradients_in_chunks(
        self, texts: TokenBatch, upstream: Tensor, size: int, dropout: Callable[[Tensor], Dropout | None]
    ) -> list[Tensor]:
        """Gradients of sum(vectors * upstream) by the trained variables, encoding size texts at a time once more."""
        order = tf.argsort(texts.lengths, stable=True)
        count = tf.shape(order)[0]
        chunks = (count + size - 1) // size
        variables = [variable.value for variable in self.trainable_weights]

        def body(chunk: Tensor, *sums: Tensor) -> Any:
            rows = order[chunk * size : (chunk + 1) * size]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                vectors = self.forward(_taken(texts, rows), dropout(chunk))
                objective = tf.reduce_sum(vectors * tf.gather(upstream, rows))
            gradients = tape.gradient(objective, variables)
            return (chunk + 1, *(_added(total, gradient) for total, gradient in zip(sums, gradients, strict=True)))

        start = (0, *(tf.zeros_like(variable) for variable in variables))
        _, *sums = tf.while_loop(lambda chunk, *_: chunk < chunks, body, start, parallel_iterations=1)
        return list(sums)

    def _structure(self, leaves: Iterable[Any]) -> BertWeights:
        """Tensors or arrays, in the order of `weights`, as a BertWeights."""
        following = iter(leaves)
        return tree_map(lambda _: next(following), self._shape)


def _taken(texts: TokenBatch, rows: Tensor) -> TokenBatch:
    """Some of the texts, without the padding that they do not need."""
    lengths = tf.gather(texts.lengths, rows)
    longest = (tf.reduce_max(lengths) + LENGTH_STEP - 1) // LENGTH_STEP * LENGTH_STEP
    return TokenBatch(tf.gather(texts.ids[:, :longest], rows), lengths, tf.gather(texts.segment_starts, rows))


def _added(total: Tensor, gradient: Tensor) -> Tensor:
    """The sum; the few rows that a chunk's gradient by an embedding has are not made a full table first."""
    if gradient is None:
        return total
    if isinstance(gradient, tf.IndexedSlices):
        return tf.tensor_scatter_nd_add(total, gradient.indices[:, None], gradient.values)
    return total + gradient
