"""model.safetensors or tf_model.h5 -> tensors under PyTorch's names, whatever wrapped the model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.checkpoints.hub import WEIGHT_FILES
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Array

#: The tail of a name from where BERT's own part begins; wrappers put anything before it.
_TAIL = re.compile(
    r"(?:^|/)((?:embeddings/(?:(?:word|position|token_type)_embeddings|LayerNorm)|encoder/layer|pooler/dense|encode_proj)"
    r"/.*)$"
)
_RENAMED = {"gamma": "weight", "beta": "bias", "kernel": "weight", "embeddings": "weight"}
#: What an encoder has no use for: the heads of pre-training, and a buffer that counts up from 0.
_UNUSED = re.compile(r"cls[./](?:predictions|seq_relationship)[./]|position_ids$")


def write_safetensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write tensors under their names, readable by whoever may read the file beside them, config.json."""
    from safetensors.numpy import save_file

    save_file(dict(tensors), str(path), metadata={"format": "pt"})
    shutil.copymode(path.with_name("config.json"), path)  # safetensors writes for the owner alone


def read_tensors(directory: Path) -> dict[str, Array]:
    """Read the weights of a model folder, float32, under the names that a plain BertModel has in PyTorch.

    A tensor that BERT does not have keeps the name it is stored under. Raises CheckpointError where there are
    no weights, where the file is truncated or corrupt, or where it holds two models.
    """
    for name, read in zip(WEIGHT_FILES, (read_safetensors, _read_h5), strict=True):
        if (directory / name).is_file():
            return _renamed(read(directory / name).items(), directory / name)
    present = sorted(path.name for path in directory.iterdir())
    convert = (
        "; pytorch_model.bin is a pickle, which can run code and is never opened here: where you trust it, "
        "convert it with transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)"
        if "pytorch_model.bin" in present
        else ""
    )
    raise CheckpointError(
        f"{directory} has no weights: found {', '.join(present)}; expected {' or '.join(WEIGHT_FILES)}{convert}"
    )


def read_safetensors(path: Path) -> dict[str, Array]:
    """Read tensors under the names the file gives them; CheckpointError where it is truncated or corrupt."""
    from safetensors import SafetensorError, deserialize

    try:
        entries: Iterable[tuple[str, Mapping[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise _corrupt(path, error) from error
    return {name: _float32(entry, f"{path}: {name}") for name, entry in entries if not _UNUSED.search(name)}


def _float32(entry: Mapping[str, Any], where: str) -> Array:
    kind: str = entry["dtype"]
    types = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}
    if kind not in types:
        raise CheckpointError(f"{where} is stored as {kind}; expected {', '.join(types)}")
    stored: NDArray[Any] = np.frombuffer(entry["data"], types[kind]).reshape(entry["shape"])
    if kind == "BF16":  # numpy has no such type: it is the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def _read_h5(path: Path) -> dict[str, Array]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {
                name: np.asarray(dataset, np.float32) for name, dataset in _datasets(file) if not _UNUSED.search(name)
            }
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py has no error of its own
        raise _corrupt(path, error) from error


def _datasets(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in group.items():
        if hasattr(item, "shape"):
            yield path + name, item
        else:
            yield from _datasets(item, f"{path}{name}/")


def _renamed(stored: Iterable[tuple[str, Array]], path: Path) -> dict[str, Array]:
    """Give tensors PyTorch's names and orientation: a kernel of TensorFlow is [in, out]."""
    tensors: dict[str, Array] = {}
    origins: dict[str, str] = {}
    for origin, array in stored:
        found = _TAIL.search(origin.removesuffix(":0").replace("layer_._", "layer/").replace(".", "/"))
        *parents, last = found[1].split("/") if found else [origin]
        name = ".".join([*parents, _RENAMED.get(last, last)])
        array = array.T if last == "kernel" else array
        # TensorFlow writes a layer that two others share, as embeddings and a head do, once with each.
        if name in tensors and not np.array_equal(tensors[name], array):
            raise CheckpointError(
                f"{path} holds two tensors {name}: {origins[name]} and {origin}; expected one model in a file"
            )
        origins[name] = origin
        tensors[name] = array
    return tensors


def _corrupt(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: truncated or corrupt ({error}); download or copy it again")
