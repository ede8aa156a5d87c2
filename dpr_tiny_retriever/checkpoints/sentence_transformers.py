"""The sidecar files of sentence-transformers: pooling, dense modules, normalisation, length, similarity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from dpr_tiny_retriever.atomic_files import read_json, write_json
from dpr_tiny_retriever.checkpoints.weights import read_safetensors, write_safetensors
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Array, Pooling, Similarity

_TANH = "torch.nn.modules.activation.Tanh"
_IDENTITY = "torch.nn.modules.linear.Identity"

#: The dense products behind the pooling, in their order, with their activations; the first is BERT's pooler.
_DENSE = (("pooler.dense", _TANH), ("encode_proj", _IDENTITY))

#: What the flags of a pooling configuration call the poolings known here.
_FLAGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}

#: The files that state a length: newer versions of sentence-transformers leave it to the tokenizer's.
_LENGTHS = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))


@dataclass
class Sidecars:
    """What the sidecar files say; None stands for nothing said."""

    pooling: Pooling | None = None
    normalize: bool = False
    max_length: int | None = None
    similarity: Similarity | None = None
    dense: dict[str, Array] = field(default_factory=dict)


def read_sidecars(directory: Path) -> Sidecars:
    """Read modules.json and what it names; a folder without it gives an empty record."""
    found = Sidecars()
    if not (directory / "modules.json").is_file():
        return found
    modules = list(_modules(directory / "modules.json"))
    kinds = [kind for kind, _ in modules]
    if not re.fullmatch("Transformer Pooling( Dense){0,2}( Normalize)?", " ".join(kinds)):
        raise CheckpointError(
            f"{directory}/modules.json: found the modules {', '.join(kinds) or '(none)'}; "
            "expected Transformer and Pooling, then at most two Dense and one Normalize"
        )
    for kind, folder in modules:
        if kind == "Pooling":
            found.pooling = _pooling(folder / "config.json")
        elif kind == "Dense":
            _read_dense(folder, found)
    found.normalize = "Normalize" in kinds
    found.max_length = _max_length(directory)
    found.similarity = _similarity(directory / "config_sentence_transformers.json")
    return found


def write_sidecars(
    directory: Path,
    *,
    width: int,
    pooling: Pooling,
    normalize: bool,
    max_length: int,
    similarity: Similarity,
    dense: Mapping[str, Array],
) -> None:
    """Write the sidecar files of an encoder; width is its tokens', dense its pooler and projection if any."""
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    chosen = "pooling_mode_mean_tokens" if pooling == "mean" else "pooling_mode_cls_token"
    flags = {flag: flag == chosen for flag in _FLAGS}
    write_json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **flags})
    for name, activation in _DENSE:
        if f"{name}.weight" not in dense:
            continue
        weight, bias = dense[f"{name}.weight"], dense[f"{name}.bias"]
        folder = f"{len(modules)}_Dense"
        modules.append(("Dense", folder))
        shape = {"in_features": weight.shape[1], "out_features": weight.shape[0]}
        record = {**shape, "bias": True, "activation_function": activation}
        write_json(directory / folder / "config.json", record)
        tensors = {"linear.weight": weight, "linear.bias": bias}
        write_safetensors(directory / folder / "model.safetensors", tensors)
    if normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
    write_json(
        directory / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (kind, path) in enumerate(modules)
        ],
    )
    settings = {"max_seq_length": max_length, "do_lower_case": False}
    write_json(directory / "sentence_bert_config.json", settings)
    write_json(directory / "config_sentence_transformers.json", {"similarity_fn_name": similarity})


def _modules(path: Path) -> Iterator[tuple[str, Path]]:
    """The class name and the folder of each module."""
    for module in read_json(path, list):
        if not isinstance(module, dict) or not {"type", "path"} <= module.keys():
            raise CheckpointError(f"{path}: found {module!r}; expected a record with type and path")
        yield str(module["type"]).rsplit(".", 1)[-1], path.parent / str(module["path"])


def _pooling(path: Path) -> Pooling:
    """The pooling, which is stated by its name, or in earlier versions of the file by a flag for each."""
    record = read_json(path, dict)
    stated = record.get("pooling_mode")
    if stated is None:
        flags = [key for key, chosen in record.items() if key.startswith("pooling_mode_") and chosen]
        stated = [_FLAGS.get(flag, flag) for flag in flags]
    if stated not in ("cls", "mean", ["cls"], ["mean"]):
        raise CheckpointError(f"{path}: the pooling is {stated!r}; expected 'cls' or 'mean'")
    return cast(Pooling, stated if isinstance(stated, str) else stated[0])


def _read_dense(folder: Path, found: Sidecars) -> None:
    """Take a Dense module as BERT's pooler (tanh behind [CLS]) or as a projection (no activation)."""
    record = read_json(folder / "config.json", dict)
    activation = record.get("activation_function", _TANH)
    if record.get("use_residual"):
        raise CheckpointError(f"{folder}/config.json: use_residual is set; expected a Dense without it")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no model.safetensors; expected the weights of the Dense module")
    stored = read_safetensors(path)
    if not {"linear.weight"} <= stored.keys() <= {"linear.weight", "linear.bias"}:
        names = ", ".join(sorted(stored)) or "nothing"
        raise CheckpointError(f"{path}: found {names}; expected linear.weight and linear.bias")
    weight = stored["linear.weight"]
    bias = stored.get("linear.bias", np.zeros(len(weight), np.float32))
    if activation == _TANH and found.pooling == "cls" and not found.dense:
        found.pooling = "pooler"
        found.dense |= {"pooler.dense.weight": weight, "pooler.dense.bias": bias}
    elif activation == _IDENTITY and "encode_proj.weight" not in found.dense:
        found.dense |= {"encode_proj.weight": weight, "encode_proj.bias": bias}
    else:
        raise CheckpointError(
            f"{folder}: a Dense module with {activation} behind {found.pooling} pooling; "
            f"expected at most one with {_TANH}, directly behind cls pooling, and one with {_IDENTITY}"
        )


def _max_length(directory: Path) -> int | None:
    for name, key in _LENGTHS:
        length = read_json(directory / name, dict, missing={}).get(key)
        if length is None:
            continue
        if not isinstance(length, int):
            raise CheckpointError(f"{directory / name}: {key} is {length!r}; expected a number of tokens")
        return length
    return None


def _similarity(path: Path) -> Similarity:
    stated = read_json(path, dict, missing={}).get("similarity_fn_name")
    if stated not in (None, "dot", "cosine"):
        raise CheckpointError(f"{path}: similarity_fn_name is {stated!r}; expected 'dot' or 'cosine'")
    return stated or "cosine"  # what sentence-transformers takes where nothing is stated
