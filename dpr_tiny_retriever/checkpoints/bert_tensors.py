"""BertWeights <-> tensors under PyTorch's names: one table, read in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Embeddings, Layer, LayerNorm
from dpr_tiny_retriever.model.tree import tree_leaves, tree_map
from dpr_tiny_retriever.types import Array

#: At most so many differences are listed in an error.
MAX_LISTED = 20
#: Trained weights are far below it, and sums of products of two such weights are far from float32's largest number.
LARGEST_WEIGHT = 1e15

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TensorSpec:
    """One of our tensors in PyTorch's naming; the tensors of several names are concatenated along the last axis."""

    names: tuple[str, ...]
    shape: tuple[int, ...]  # of each named tensor, as PyTorch holds it
    transposed: bool = False


def bert_layout(config: BertConfig) -> BertWeights:
    """A BertWeights with a TensorSpec in the place of every tensor."""
    width, inner = config.hidden_size, config.intermediate_size

    def dense(out_features: int, in_features: int, *names: str) -> Dense:
        weights = tuple(f"{name}.weight" for name in names)
        biases = tuple(f"{name}.bias" for name in names)
        kernel = TensorSpec(weights, (out_features, in_features), transposed=True)
        return Dense(kernel, TensorSpec(biases, (out_features,)))

    def norm(name: str) -> LayerNorm:
        return LayerNorm(TensorSpec((f"{name}.weight",), (width,)), TensorSpec((f"{name}.bias",), (width,)))

    def table(name: str, rows: int) -> TensorSpec:
        return TensorSpec((f"embeddings.{name}_embeddings.weight",), (rows, width))

    def layer(root: str) -> Layer:
        attention = f"{root}.attention"
        qkv = [f"{attention}.self.{part}" for part in ("query", "key", "value")]
        return Layer(
            query_key_value=dense(width, width, *qkv),
            attention_output=dense(width, width, f"{attention}.output.dense"),
            attention_norm=norm(f"{attention}.output.LayerNorm"),
            intermediate=dense(inner, width, f"{root}.intermediate.dense"),
            output=dense(width, inner, f"{root}.output.dense"),
            output_norm=norm(f"{root}.output.LayerNorm"),
        )

    return BertWeights(
        embeddings=Embeddings(
            word=table("word", config.vocab_size),
            position=table("position", config.max_position_embeddings),
            segment=table("token_type", config.type_vocab_size),
            norm=norm("embeddings.LayerNorm"),
        ),
        layers=tuple(layer(f"encoder.layer.{index}") for index in range(config.num_hidden_layers)),
        pooler=dense(width, width, "pooler.dense") if config.pooling == "pooler" else None,
        projection=dense(config.projection_dim, width, "encode_proj") if config.projection_dim else None,
    )


def compare_shapes(config: BertConfig, shapes: Shapes, directory: Path) -> None:
    """Raise CheckpointError that lists the missing, unexpected and misshapen tensors of a model folder."""
    # Each layer has tensors of its own: without this, a number of layers from a broken file could fill the memory.
    if config.num_hidden_layers > len(shapes):
        raise CheckpointError(
            f"{directory}/config.json: num_hidden_layers is {config.num_hidden_layers}, but the weights have "
            f"{len(shapes)} tensors; expected the weights that were saved together with this config.json"
        )
    expected = _expected_shapes(config)
    # A pooler that the chosen pooling does not read is allowed: many models carry one.
    unexpected = [name for name in shapes if name not in expected and not name.startswith("pooler.")]
    _refuse(
        [
            *(f"missing: {name} {list(shape)}" for name, shape in expected.items() if name not in shapes),
            *(f"unexpected: {name} {list(shapes[name])}" for name in unexpected),
            *(
                f"misshapen: {name} {list(shapes[name])}, expected {list(shape)}"
                for name, shape in expected.items()
                if name in shapes and shapes[name] != shape
            ),
        ],
        config,
        directory,
    )


def assemble_weights(config: BertConfig, tensors: Mapping[str, Array], directory: Path) -> BertWeights:
    """The float32 weights of a model whose shapes were compared; CheckpointError where one is not finite or huge."""
    expected = _expected_shapes(config)
    largest = {name: np.abs(tensors[name]).max(initial=0) for name in expected}  # NaN where there is one
    _refuse(
        [
            f"{'beyond 1e15' if np.isfinite(largest[name]) else 'not finite'}: {name} {list(shape)}"
            for name, shape in expected.items()
            if not largest[name] <= LARGEST_WEIGHT
        ],
        config,
        directory,
    )

    def concatenate(spec: TensorSpec) -> Array:
        parts = [tensors[name].T if spec.transposed else tensors[name] for name in spec.names]
        return np.ascontiguousarray(np.concatenate(parts, axis=-1), np.float32)

    return tree_map(concatenate, bert_layout(config))


def split_weights(config: BertConfig, weights: BertWeights) -> dict[str, Array]:
    """The tensors of a model under PyTorch's names and in its orientation."""
    tensors: dict[str, Array] = {}
    for spec, array in zip(tree_leaves(bert_layout(config)), tree_leaves(weights), strict=True):
        parts = np.split(np.asarray(array, np.float32), len(spec.names), axis=-1)
        for name, part in zip(spec.names, parts, strict=True):
            tensors[name] = np.ascontiguousarray(part.T if spec.transposed else part)
    return tensors


def _expected_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    specs: Iterator[TensorSpec] = tree_leaves(bert_layout(config))
    return {name: spec.shape for spec in specs for name in spec.names}


def _refuse(differences: list[str], config: BertConfig, directory: Path) -> None:
    if not differences:
        return
    more = [f"... and {len(differences) - MAX_LISTED} more"] if len(differences) > MAX_LISTED else []
    listed = "\n  ".join(differences[:MAX_LISTED] + more)
    raise CheckpointError(
        f"the tensors in {directory} do not match its config.json (pooling {config.pooling!r}):\n"
        f"  {listed}\nexpected the weights that were saved together with this config.json"
    )
