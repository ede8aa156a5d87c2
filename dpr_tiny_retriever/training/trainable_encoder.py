"""The weights of an encoder as Keras variables, and its vectors with gradients: at once, or in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from dpr_tiny_retriever.model.batching import LENGTH_STEP, TokenBatch
from dpr_tiny_retriever.model.bert_tensorflow import forward
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.tree import tree_leaves

Tensor = Any


_TABLES = ("embeddings.word", "embeddings.position", "embeddings.segment")


class Texts(NamedTuple):
    """n texts as bert.encode takes them, int32."""

    token_ids: Tensor  # [n, l]
    lengths: Tensor  # [n]
    segment_starts: Tensor  # [n]


def no_drop(x: Tensor) -> Tensor:
    """The identity, for encoding without dropout."""
    return x


class Drop(NamedTuple):
    """A dropout function, and whether it is for all of BERT or for the vector only."""

    everywhere: Callable[[Tensor], Tensor] = no_drop
    inside: bool = False


class Tower(keras.layers.Layer):  # type: ignore[misc]
    """One encoder in training. Variables are float32 and named by their place in BertWeights."""

    def __init__(
        self, config: BertConfig, weights: BertWeights, *, compute_dtype: str, words_only: bool, name: str
    ) -> None:
        """words_only trains a bag of words: embeddings and last normalisation, below layers that pass all on."""
        super().__init__(name=name, dtype="float32")
        if words_only and any(
            np.any(layer.attention_output.kernel) or np.any(layer.output.kernel) for layer in weights.layers
        ):
            raise ValueError("words_only is set, and the model has trained layers; expected a new model")
        self.config = config
        self._words_only = words_only
        self._products_dtype = tf.as_dtype(compute_dtype)
        self._paths: list[str] = []
        self._shape = _numbered(weights, self._paths)
        arrays = list(tree_leaves(weights))
        for path, array in zip(self._paths, arrays, strict=True):
            self.add_weight(
                shape=array.shape, initializer=keras.initializers.Constant(array), name=path.replace(".", "_")
            )
        if words_only:
            last = f"layers.{len(weights.layers) - 1}.output_norm."
            for path, variable in zip(self._paths, self.weights, strict=True):
                variable.trainable = path.startswith(last) or path in _TABLES
        self.built = True

    def structure(self, leaves: list[Any]) -> BertWeights:
        """Variables, tensors or arrays, in the order of `weights`, as a BertWeights."""
        mapped = tf.nest.map_structure(lambda number: None if number is None else leaves[number], self._shape)
        assert isinstance(mapped, BertWeights)
        return mapped

    def arrays(self) -> BertWeights:
        """The present weights as float32 arrays."""
        return self.structure([np.array(variable.value.numpy()) for variable in self.weights])

    def tensors(self) -> list[Tensor]:
        """The variables that a gradient is asked for."""
        return [variable.value for variable in self.trainable_weights]

    def encode(self, texts: Texts, drop: Drop) -> Tensor:
        """Vectors [n, d] float32 of texts, with gradients."""
        values = [tf.cast(variable.value, self._products_dtype) for variable in self.weights]
        config, weights = dataclasses.replace(self.config, normalize=False), self.structure(values)
        if self._words_only and weights.layers:
            last = weights.layers[-1].output_norm
            weights = weights._replace(embeddings=weights.embeddings._replace(norm=last), layers=())
        inside = drop.everywhere if drop.inside else no_drop
        vectors = tf.cast(forward(weights, config, TokenBatch(*texts), drop=inside), tf.float32)
        if not drop.inside:
            vectors = drop.everywhere(vectors)
        return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-24) if self.config.normalize else vectors

    def encode_sorted(self, texts: Texts, parts: int, drop: Drop) -> Tensor:
        """As encode, in parts of like length, at most as many as texts: less padding, the same vectors."""
        order = tf.argsort(texts.lengths, stable=True)
        count = tf.shape(order)[0]
        found = [
            self.encode(_taken(texts, order[count * part // parts : count * (part + 1) // parts]), drop)
            for part in range(parts)
        ]
        return tf.gather(tf.concat(found, 0), tf.argsort(order))

    def encode_in_chunks(self, texts: Texts, size: int, drop: Callable[[Tensor], Drop]) -> Tensor:
        """Vectors [n, d] without gradients, size texts at a time; drop gives each chunk its dropout."""
        order = tf.argsort(texts.lengths, stable=True)
        count = tf.shape(order)[0]
        chunks = (count + size - 1) // size
        found = tf.TensorArray(tf.float32, chunks, infer_shape=False, element_shape=[None, self.config.embedding_dim])

        def body(chunk: Tensor, found: Any) -> Any:
            part = _taken(texts, order[chunk * size : (chunk + 1) * size])
            return chunk + 1, found.write(chunk, self.encode(part, drop(chunk)))

        _, found = tf.while_loop(lambda chunk, _: chunk < chunks, body, (0, found), parallel_iterations=1)
        return tf.gather(found.concat(), tf.argsort(order))

    def gradients_in_chunks(
        self, texts: Texts, upstream: Tensor, size: int, drop: Callable[[Tensor], Drop]
    ) -> list[Tensor]:
        """Gradients of sum(vectors * upstream) by the trained variables, encoding size texts at a time once more."""
        order = tf.argsort(texts.lengths, stable=True)
        count = tf.shape(order)[0]
        chunks = (count + size - 1) // size
        variables = self.tensors()

        def body(chunk: Tensor, *sums: Tensor) -> Any:
            rows = order[chunk * size : (chunk + 1) * size]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                vectors = self.encode(_taken(texts, rows), drop(chunk))
                objective = tf.reduce_sum(vectors * tf.gather(upstream, rows))
            found = tape.gradient(objective, variables)
            return (chunk + 1, *(_added(total, gradient) for total, gradient in zip(sums, found, strict=True)))

        start = (0, *(tf.zeros_like(variable) for variable in variables))
        _, *sums = tf.while_loop(lambda chunk, *_: chunk < chunks, body, start, parallel_iterations=1)
        return list(sums)


def _taken(texts: Texts, rows: Tensor) -> Texts:
    """Some of the texts, without the padding that they do not need."""
    lengths = tf.gather(texts.lengths, rows)
    longest = (tf.reduce_max(lengths) + LENGTH_STEP - 1) // LENGTH_STEP * LENGTH_STEP
    return Texts(tf.gather(texts.token_ids[:, :longest], rows), lengths, tf.gather(texts.segment_starts, rows))


def _added(total: Tensor, gradient: Tensor) -> Tensor:
    """The sum, without making a table of the few rows that a chunk's gradient by an embedding has."""
    if gradient is None:
        return total
    if isinstance(gradient, tf.IndexedSlices):
        return tf.tensor_scatter_nd_add(total, gradient.indices[:, None], gradient.values)
    return total + gradient


def _numbered(structure: Any, paths: list[str], path: str = "") -> Any:
    """The structure with the number of each leaf in its place; the leaves' paths are appended to paths."""
    if structure is None:
        return None
    if not isinstance(structure, tuple):
        paths.append(path)
        return len(paths) - 1
    names = getattr(structure, "_fields", None) or [str(index) for index in range(len(structure))]
    parts = [
        _numbered(part, paths, f"{path}.{name}" if path else name) for name, part in zip(names, structure, strict=True)
    ]
    return type(structure)(*parts) if hasattr(structure, "_fields") else tuple(parts)
