"""A model folder <-> configuration and weights.

Reads model.safetensors and tf_model.h5 under any wrapper's prefix, of `bert` and `dpr` models, and the files
that sentence-transformers puts beside them. Writes plain BERT in PyTorch naming with the same sidecar files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from dpr_tiny_retriever.atomic_files import read_json, write_json
from dpr_tiny_retriever.checkpoints.sentence_transformers import read_sidecars, write_sidecars
from dpr_tiny_retriever.checkpoints.weights import read_tensors, write_safetensors
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.model.config import ACTIVATIONS, BertConfig, BertWeights, Dense, Embeddings, Layer, LayerNorm
from dpr_tiny_retriever.types import Array, Pooling, Similarity


@dataclass(frozen=True)
class Checkpoint:
    """What a model folder holds; None stands for what its files do not say."""

    config: BertConfig
    weights: BertWeights
    max_length: int | None = None
    text_segment: int | None = None
    similarity: Similarity | None = None


def read_checkpoint(directory: Path, *, pooling: Pooling | None = None, normalize: bool | None = None) -> Checkpoint:
    """Read a model folder; weights come as float32 arrays.

    pooling and normalize replace what the folder says. Raises CheckpointError that lists every missing,
    unexpected or misshapen tensor, or says why a file cannot be read.
    """
    record = read_json(directory / "config.json", dict)
    model_type = record.get("model_type", "bert")
    if model_type not in ("bert", "dpr"):
        raise CheckpointError(f"{directory}/config.json: model_type is {model_type!r}; expected 'bert' or 'dpr'")
    sidecars = read_sidecars(directory)
    tensors = read_tensors(directory) | sidecars.dense
    if pooling is None:
        has_pooler = model_type == "bert" and "pooler.dense.weight" in tensors
        pooling = sidecars.pooling or ("pooler" if has_pooler else "cls")
    if model_type == "bert":  # which states a projection, if it has one, as a module behind it
        record["projection_dim"] = len(sidecars.dense.get("encode_proj.bias", ()))
    config = _bert_config(
        record,
        directory / "config.json",
        pooling=pooling,
        normalize=sidecars.normalize if normalize is None else normalize,
    )
    return Checkpoint(
        config,
        _assemble(config, tensors, directory),
        max_length=sidecars.max_length,
        # A model that knows one segment only was trained with nothing else.
        text_segment=record.get("text_segment") if config.type_vocab_size > 1 else 0,
        similarity=sidecars.similarity,
    )


def write_checkpoint(
    directory: Path,
    config: BertConfig,
    weights: BertWeights,
    *,
    max_length: int,
    text_segment: int,
    similarity: Similarity,
) -> None:
    """Write config.json, model.safetensors and the sentence-transformers sidecars into an existing folder."""
    fields = {field.name for field in dataclasses.fields(config)}
    record = {name: getattr(config, name) for name in sorted(fields - _OURS)} | {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "text_segment": text_segment,
    }
    write_json(directory / "config.json", record)
    tensors = _take_apart(config, weights)
    dense = {name: tensor for name, tensor in tensors.items() if name.startswith(("pooler.", "encode_proj."))}
    inside = {name: tensor for name, tensor in tensors.items() if not name.startswith("encode_proj.")}
    write_safetensors(directory / "model.safetensors", inside)
    write_sidecars(
        directory,
        width=config.hidden_size,
        pooling=config.pooling,
        normalize=config.normalize,
        max_length=max_length,
        similarity=similarity,
        dense=dense,
    )


_OURS = {"projection_dim", "pooling", "normalize"}  # fields of BertConfig that stand in the sidecar files


def _bert_config(record: Mapping[str, Any], path: Path, *, pooling: Pooling, normalize: bool) -> BertConfig:
    """Take what BertConfig knows from config.json; CheckpointError where a value is none that it can have."""
    fields = [field.name for field in dataclasses.fields(BertConfig)]
    stated = {name: record[name] for name in fields if name in record}

    def expect(name: str, holds: bool, expected: str) -> None:
        if name in record and not holds:
            raise CheckpointError(f"{path}: {name} is {record[name]!r}; expected {expected}")

    for name in stated.keys() - {"hidden_act", "layer_norm_eps"}:
        value, least = record[name], 0 if name == "projection_dim" else 1
        expect(name, type(value) is int and value >= least, f"a whole number of at least {least}")
    expect("layer_norm_eps", isinstance(record.get("layer_norm_eps"), (int, float)), "a number")
    expect("hidden_act", record.get("hidden_act") in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}")
    expect("position_embedding_type", record.get("position_embedding_type") == "absolute", "'absolute'")
    expect("text_segment", record.get("text_segment") in (0, 1), "0 or 1")
    config = BertConfig(**{**stated, "pooling": pooling, "normalize": normalize})
    if config.hidden_size % config.num_attention_heads:
        raise CheckpointError(
            f"{path}: hidden_size {config.hidden_size} is no multiple of num_attention_heads "
            f"{config.num_attention_heads}; expected the configuration that the weights were saved with"
        )
    return config


# The tensors of a BERT: one table, read in one direction and written in the other.


class _Slot(NamedTuple):
    """Where one of our tensors stands in PyTorch's naming; several names are joined along the last axis."""

    names: tuple[str, ...]
    shape: tuple[int, ...]  # of each named tensor as PyTorch holds it
    transposed: bool = False


def _layout(config: BertConfig) -> BertWeights:
    """A BertWeights with a _Slot in the place of every tensor."""
    width, wide = config.hidden_size, config.intermediate_size

    def dense(out_features: int, in_features: int, *names: str) -> Dense:
        weights = tuple(f"{name}.weight" for name in names)
        biases = tuple(f"{name}.bias" for name in names)
        kernel = _Slot(weights, (out_features, in_features), transposed=True)
        return Dense(kernel, _Slot(biases, (out_features,)))

    def norm(name: str) -> LayerNorm:
        return LayerNorm(_Slot((f"{name}.weight",), (width,)), _Slot((f"{name}.bias",), (width,)))

    def table(name: str, rows: int) -> _Slot:
        return _Slot((f"embeddings.{name}_embeddings.weight",), (rows, width))

    def layer(root: str) -> Layer:
        attention = f"{root}.attention"
        three = [f"{attention}.self.{part}" for part in ("query", "key", "value")]
        return Layer(
            query_key_value=dense(width, width, *three),
            attention_output=dense(width, width, f"{attention}.output.dense"),
            attention_norm=norm(f"{attention}.output.LayerNorm"),
            intermediate=dense(wide, width, f"{root}.intermediate.dense"),
            output=dense(width, wide, f"{root}.output.dense"),
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


def _assemble(config: BertConfig, tensors: Mapping[str, Array], directory: Path) -> BertWeights:
    layout = _layout(config)
    expected = {name: slot.shape for slot in _leaves(layout) for name in slot.names}
    # A pooler that the chosen pooling does not read is no mistake: many models carry one.
    unexpected = [name for name in tensors if name not in expected and not name.startswith("pooler.")]
    wrong = [
        *(f"missing: {name} {list(shape)}" for name, shape in expected.items() if name not in tensors),
        *(f"unexpected: {name} {list(tensors[name].shape)}" for name in unexpected),
        *(
            f"misshapen: {name} {list(tensors[name].shape)}, expected {list(shape)}"
            for name, shape in expected.items()
            if name in tensors and tensors[name].shape != shape
        ),
        *(
            f"not finite: {name} {list(shape)}"
            for name, shape in expected.items()
            if name in tensors and not np.isfinite(tensors[name]).all()
        ),
    ]
    if wrong:
        listed = "\n  ".join(wrong[:20] + ([f"... and {len(wrong) - 20} more"] if len(wrong) > 20 else []))
        raise CheckpointError(
            f"the tensors in {directory} do not match its config.json (pooling {config.pooling!r}):\n"
            f"  {listed}\nexpected the weights that were saved together with this config.json"
        )

    def take(slot: _Slot) -> Array:
        parts = [tensors[name].T if slot.transposed else tensors[name] for name in slot.names]
        return np.ascontiguousarray(np.concatenate(parts, axis=-1), np.float32)

    return cast(BertWeights, _map(take, layout))


def _take_apart(config: BertConfig, weights: BertWeights) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for slot, joined in zip(_leaves(_layout(config)), _leaves(weights), strict=True):
        parts = np.split(np.asarray(joined, np.float32), len(slot.names), axis=-1)
        for name, part in zip(slot.names, parts, strict=True):
            tensors[name] = np.ascontiguousarray(part.T if slot.transposed else part)
    return tensors


def _map(function: Any, structure: Any) -> Any:
    """Apply a function to every leaf of nested tuples, None staying None."""
    if structure is None:
        return None
    if isinstance(structure, _Slot) or not isinstance(structure, tuple):
        return function(structure)
    mapped = [_map(function, part) for part in structure]
    return type(structure)(*mapped) if hasattr(structure, "_fields") else tuple(mapped)


def _leaves(structure: Any) -> Iterator[Any]:
    if structure is None:
        return
    if isinstance(structure, _Slot) or not isinstance(structure, tuple):
        yield structure
    else:
        for part in structure:
            yield from _leaves(part)
