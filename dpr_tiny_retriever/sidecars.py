"""The sidecar files of sentence-transformers: pooling, dense modules, normalisation, length and similarity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.files import read_json, write_json
from dpr_tiny_retriever.presets import Pooling, Similarity
from dpr_tiny_retriever.weight_files import Array

_TANH = "torch.nn.modules.activation.Tanh"
_IDENTITY = "torch.nn.modules.linear.Identity"

#: The dense products behind the pooling, in their order, and the activation behind each. BERT's pooler is one of them.
_DENSE = (("pooler.dense", _TANH), ("encode_proj", _IDENTITY))


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
    for module in read_json(directory / "modules.json", list):
        kind, folder = str(module.get("type", "")).rsplit(".", 1)[-1], directory / str(module.get("path", ""))
        if kind == "Pooling":
            found.pooling = _pooling_mode(folder / "config.json")
        elif kind == "Dense":
            _read_dense(folder, found)
        elif kind == "Normalize":
            found.normalize = True
        elif kind != "Transformer":
            raise CheckpointError(
                f"{directory}/modules.json: found the module {kind}; expected Transformer, Pooling, Dense and Normalize"
            )
    found.max_length = read_json(directory / "sentence_bert_config.json", dict, missing={}).get("max_seq_length")
    stated = read_json(directory / "config_sentence_transformers.json", dict, missing={}).get("similarity_fn_name")
    if stated not in (None, "dot", "cosine"):
        raise CheckpointError(
            f"{directory}/config_sentence_transformers.json: similarity_fn_name is {stated!r}; expected 'dot' or 'cosine'"
        )
    found.similarity = stated or "cosine"  # what sentence-transformers takes where nothing is stated
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
    """Write the sidecar files of an encoder; width is that of its tokens, dense its pooler and projection if any."""
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    write_json(
        directory / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": width,
            "pooling_mode_cls_token": pooling != "mean",
            "pooling_mode_mean_tokens": pooling == "mean",
        },
    )
    for name, activation in _DENSE:
        if f"{name}.weight" not in dense:
            continue
        weight, bias = dense[f"{name}.weight"], dense[f"{name}.bias"]
        folder = f"{len(modules)}_Dense"
        modules.append(("Dense", folder))
        shape = {"in_features": weight.shape[1], "out_features": weight.shape[0]}
        write_json(directory / folder / "config.json", {**shape, "bias": True, "activation_function": activation})
        save_file({"linear.weight": weight, "linear.bias": bias}, str(directory / folder / "model.safetensors"))
    if normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
    write_json(
        directory / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (kind, path) in enumerate(modules)
        ],
    )
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    write_json(directory / "config_sentence_transformers.json", {"similarity_fn_name": similarity})


def _pooling_mode(path: Path) -> Pooling:
    record = read_json(path, dict)
    modes = record.get("pooling_mode")
    if modes is None:
        modes = [key.split("_")[2] for key, chosen in record.items() if key.startswith("pooling_mode_") and chosen is True]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if modes not in (["cls"], ["mean"]):
        raise CheckpointError(f"{path}: the pooling is {' + '.join(modes) or 'not stated'}; expected 'cls' or 'mean'")
    return cast(Pooling, modes[0])


def _read_dense(folder: Path, found: Sidecars) -> None:
    """Take a Dense module as BERT's pooler (tanh behind [CLS]) or as a projection (no activation)."""
    activation = read_json(folder / "config.json", dict).get("activation_function", _TANH)
    if not (folder / "model.safetensors").is_file():
        raise CheckpointError(f"{folder} has no model.safetensors; expected the weights of the Dense module")
    from safetensors.numpy import load_file

    stored = {name: tensor.astype(np.float32) for name, tensor in load_file(folder / "model.safetensors").items()}
    weight = stored["linear.weight"]
    bias = stored.get("linear.bias", np.zeros(len(weight), np.float32))
    if activation == _TANH and found.pooling == "cls":
        found.pooling = "pooler"
        found.dense |= {"pooler.dense.weight": weight, "pooler.dense.bias": bias}
    elif activation == _IDENTITY:
        found.dense |= {"encode_proj.weight": weight, "encode_proj.bias": bias}
    else:
        raise CheckpointError(
            f"{folder}: a Dense module with {activation} behind {found.pooling} pooling; expected {_TANH} behind cls, "
            f"or {_IDENTITY}"
        )
