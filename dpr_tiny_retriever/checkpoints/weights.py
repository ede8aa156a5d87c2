"""model.safetensors, its shards or tf_model.h5 -> tensors under PyTorch's names, whatever wrapped the model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.checkpoints.h5_weights import read_h5
from dpr_tiny_retriever.checkpoints.json_files import read_json
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Array

SAFETENSORS_FILE = "model.safetensors"
#: Names the file that holds each tensor of a model in several files.
SHARDS_FILE = "model.safetensors.index.json"
H5_FILE = "tf_model.h5"
#: Different forms of the same weights; the first that is present is read.
WEIGHT_FILES = (SAFETENSORS_FILE, SHARDS_FILE, H5_FILE)

#: The end of a name, from where BERT's own part begins; wrappers put anything before it.
BERT_NAME = re.compile(
    r"(?:^|/)((?:embeddings/(?:(?:word|position|token_type)_embeddings|LayerNorm)|encoder/layer|pooler/dense|encode_proj)"
    r"/.*)$"
)
PYTORCH_NAMES = {"gamma": "weight", "beta": "bias", "kernel": "weight", "embeddings": "weight"}
#: Not part of an encoder: the heads of pre-training, and a buffer that counts up from 0.
UNUSED_NAME = re.compile(r"cls[./](?:predictions|seq_relationship)[./]|position_ids$")
#: Bytes; as the safetensors library has it.
MAX_HEADER = 100_000_000
NUMPY_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2", "I8": "<i1"}
#: Suffix of the tensor with an int8 tensor's row scales, as in compressed-tensors.
SCALE_SUFFIX = "_scale"


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write tensors under their names, with the permissions of the file beside them, config.json.

    Raises OSError where the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(tensors), str(path), metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written ({error}); expected a folder with room for it") from error
    shutil.copymode(path.with_name("config.json"), path)  # safetensors creates files that only the owner can read


def quantize_rows(tensor: Array) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Quantize a matrix [rows, columns] to int8 with a scale for each row, float16 [rows, 1]."""
    largest = np.abs(tensor).max(axis=1, keepdims=True)
    # Scales are rounded up: quantized values then stay within -127 to 127, and an all-zero row is not divided by 0.
    scales = np.nextafter((largest / 127).astype(np.float16), np.float16(np.inf))
    return np.rint(tensor / scales.astype(np.float32)).astype(np.int8), scales


def read_tensors(directory: Path) -> dict[str, Array]:
    """Read the weights of a model folder, float32, under the names that a plain BertModel has in PyTorch.

    A tensor that BERT does not have keeps the name it is stored under. Raises CheckpointError where there are no
    weights, where a file is truncated or corrupt, or where it holds two models.
    """
    readers = {SAFETENSORS_FILE: read_safetensors, SHARDS_FILE: _read_shards, H5_FILE: read_h5}
    for name in WEIGHT_FILES:
        if (directory / name).is_file():
            stored = readers[name](directory / name)
            used = {name: tensor for name, tensor in stored.items() if not UNUSED_NAME.search(name)}
            return _rename(used, directory / name)
    present = sorted(path.name for path in directory.iterdir())
    convert = (
        "; pytorch_model.bin is a pickle, which can run code and is never opened here: where you trust it, "
        "convert it with transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)"
        if any(name.startswith("pytorch_model") for name in present)
        else ""
    )
    raise CheckpointError(
        f"{directory} has no weights: found {', '.join(present) or 'nothing'}; "
        f"expected {SAFETENSORS_FILE} or {H5_FILE}{convert}"
    )


def read_safetensors(path: Path) -> dict[str, Array]:
    """Read tensors under the names the file gives them; CheckpointError where it is truncated or corrupt.

    A matrix in int8 is multiplied by its scales, the tensor of its name with `_scale` added.
    """
    from safetensors import SafetensorError, deserialize

    try:
        _check_header(path)
        entries: Iterable[tuple[str, Mapping[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError, MemoryError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{path}: truncated or corrupt ({problem}); download or copy it again") from error
    stored = {name: entry for name, entry in entries if not UNUSED_NAME.search(name)}
    tensors = {name: _float32(entry, f"{path}: {name}") for name, entry in stored.items()}
    for name in (name for name, entry in stored.items() if entry["dtype"] == "I8"):
        scales, shape = tensors.pop(name + SCALE_SUFFIX, None), tensors[name].shape
        if scales is None or scales.shape != (*shape[:1], 1):
            found = "no such tensor" if scales is None else f"the shape {list(scales.shape)}"
            raise CheckpointError(
                f"{path}: {name} of the shape {list(shape)} is stored as int8; expected a matrix, and a scale for each "
                f"row in {name}{SCALE_SUFFIX}; found {found}"
            )
        tensors[name] *= scales
    return tensors


def shard_names(index: Path) -> dict[str, str]:
    """The file that holds each tensor, as model.safetensors.index.json says."""
    weight_map = read_json(index, dict).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError(f"{index}: expected the record weight_map, a file name for each tensor")
    if outside := [name for name in weight_map.values() if Path(name).name != name or name in ("", "..")]:
        raise CheckpointError(f"{index}: found the path {outside[0]!r}; expected names of files beside it")
    return weight_map


def _read_shards(index: Path) -> dict[str, Array]:
    files = shard_names(index)
    tensors: dict[str, Array] = {}
    for name in sorted(set(files.values())):
        path = index.with_name(name)
        try:
            is_there = path.is_file()
        except OSError:  # a name longer than any file's
            is_there = False
        if not is_there:
            raise CheckpointError(f"{index}: {name[:200]} is missing; expected every file that it names beside it")
        tensors |= {tensor: array for tensor, array in read_safetensors(path).items() if files.get(tensor) == name}
    missing = [tensor for tensor in files if tensor not in tensors and not UNUSED_NAME.search(tensor)]
    if missing:
        raise CheckpointError(
            f"{index}: {files[missing[0]]} has no tensor {missing[0]}; expected files that were saved together"
        )
    return tensors


def _check_header(path: Path) -> None:
    """Refuse a file whose header does not fit into it, before all of it is read: it may be a terabyte of nothing."""
    with path.open("rb") as file:
        length, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
    if not 1 < length <= min(size - 8, MAX_HEADER):
        raise CheckpointError(
            f"{path}: truncated or corrupt (a header of {length} bytes in {size}); download or copy it again"
        )


def _float32(entry: Mapping[str, Any], where: str) -> Array:
    kind: str = entry["dtype"]
    if kind not in NUMPY_TYPES:
        raise CheckpointError(f"{where} is stored as {kind}; expected {', '.join(NUMPY_TYPES)}")
    stored: NDArray[Any] = np.frombuffer(entry["data"], NUMPY_TYPES[kind]).reshape(entry["shape"])
    if kind == "BF16":  # numpy has no such type: it is the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def _rename(stored: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """Give tensors PyTorch's names and orientation: a TensorFlow kernel is [in, out]."""
    tensors: dict[str, Array] = {}
    origins: dict[str, str] = {}
    for origin, array in stored.items():
        match = BERT_NAME.search(origin.removesuffix(":0").replace("layer_._", "layer/").replace(".", "/"))
        *parents, last = match[1].split("/") if match else [origin]
        name = ".".join([*parents, PYTORCH_NAMES.get(last, last)])
        array = array.T if last == "kernel" else array
        # TensorFlow writes a layer that two others share, such as embeddings shared with a head, once with each.
        if name in tensors and not np.array_equal(tensors[name], array):
            raise CheckpointError(
                f"{path} holds two tensors {name}: {origins[name]} and {origin}; expected one model in a file"
            )
        origins[name] = origin
        tensors[name] = array
    return tensors
