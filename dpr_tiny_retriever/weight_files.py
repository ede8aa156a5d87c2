"""model.safetensors or tf_model.h5 -> tensors under PyTorch's names, whatever wrapped the model when it was saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.hub import WEIGHT_FILES

Array: TypeAlias = NDArray[np.float32]

#: The tail of a name from where BERT's own part begins; wrappers put anything before it.
_TAIL = re.compile(
    r"(?:^|[./])((?:embeddings[./](?:word_embeddings|position_embeddings|token_type_embeddings|LayerNorm|position_ids)"
    r"|encoder[./]layer|pooler[./]dense|encode_proj)(?:[./_].*)?)$"
)
_RENAMED = {"gamma": "weight", "beta": "bias", "kernel": "weight", "embeddings": "weight"}


def read_tensors(directory: Path) -> dict[str, Array]:
    """Read the weights of a model folder, float32, under the names that a plain BertModel has in PyTorch.

    Raises CheckpointError where there are none, or where the file is truncated or corrupt.
    """
    for name, read in zip(WEIGHT_FILES, (_read_safetensors, _read_h5), strict=True):
        if (directory / name).is_file():
            return read(directory / name)
    present = sorted(path.name for path in directory.iterdir())
    convert = (
        "; pytorch_model.bin is a pickle, which can run code and is never opened here: convert it where you trust it, with "
        "transformers.AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)"
        if "pytorch_model.bin" in present
        else ""
    )
    raise CheckpointError(
        f"{directory} has no weights: found {', '.join(present)}; expected {' or '.join(WEIGHT_FILES)}{convert}"
    )


def _read_safetensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(path.read_bytes())
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated or corrupt ({error}); download or copy it again") from error
    tensors = {}
    for stored, entry in entries:
        name = _torch_name(stored.replace(".", "/"))
        if name is not None:
            tensors[name] = _float32(entry, f"{path}: {stored}")
    return tensors


def _float32(entry: Mapping[str, Any], where: str) -> Array:
    kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if kind == "BF16":  # numpy has no such type: the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    types = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
    if kind not in types:
        raise CheckpointError(f"{where} is stored as {kind}; expected {', '.join(types)} or BF16")
    return np.frombuffer(data, types[kind]).astype(np.float32).reshape(shape)


def _read_h5(path: Path) -> dict[str, Array]:
    import h5py

    tensors: dict[str, Array] = {}

    def visit(stored: str, item: Any) -> None:
        name = _torch_name(stored.removesuffix(":0").replace("layer_._", "layer/")) if hasattr(item, "shape") else None
        if name is not None:
            array = np.asarray(item, np.float32)
            tensors[name] = array.T if stored.removesuffix(":0").endswith("kernel") else array

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path}: truncated or corrupt ({error}); download or copy it again") from error
    return tensors


def _torch_name(stored: str) -> str | None:
    """PyTorch's name of a tensor from its path; None for what an encoder does not have (pre-training heads, counters)."""
    found = _TAIL.search(stored)
    if found is None or found[1].endswith("position_ids"):
        return None
    *path, last = found[1].split("/")
    return ".".join([*path, _RENAMED.get(last, last)])
