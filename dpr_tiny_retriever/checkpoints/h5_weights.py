"""tf_model.h5 -> tensors under the paths that the file gives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Array


def read_h5(path: Path) -> dict[str, Array]:
    """Read the floating-point datasets of an HDF5 file as float32.

    Nothing outside of the file is read: links other than hard links, and datasets stored elsewhere, raise
    CheckpointError, as does a truncated or corrupt file. Never more is allocated than the file's own size justifies.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets = list(_datasets(file, path))
            _check_sizes(datasets, path)
            arrays: dict[int, Array] = {}  # by address: a dataset of several names is read once
            for _, dataset in datasets:
                address = _address(dataset)
                if address not in arrays:
                    arrays[address] = np.asarray(dataset, np.float32)
            return {name: arrays[_address(dataset)] for name, dataset in datasets}
    except CheckpointError:
        raise
    except (OSError, RuntimeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # h5py has no error class of its own: a corrupt file may raise any of these.
        raise CheckpointError(f"{path}: truncated or corrupt ({error}); download or copy it again") from error


def _datasets(file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Every floating-point dataset with its name; a group that is reached twice, as in a cycle, is read once."""
    import h5py

    visited = {_address(file)}
    groups = [("", file)]
    while groups:
        prefix, group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise CheckpointError(
                    f"{path}: {prefix}{name} is a {type(link).__name__}; expected tensors in the file itself"
                )
            item = group[name]
            if isinstance(item, h5py.Dataset):
                if item.dtype.kind == "f":
                    yield prefix + name, item
            elif isinstance(item, h5py.Group) and _address(item) not in visited:
                visited.add(_address(item))
                groups.append((f"{prefix}{name}/", item))


def _check_sizes(datasets: list[tuple[str, Any]], path: Path) -> None:
    sizes: dict[int, int] = {}
    for name, dataset in datasets:
        if dataset.external or dataset.is_virtual:
            raise CheckpointError(f"{path}: {name} is stored in another file; expected tensors in the file itself")
        size = dataset.size * dataset.dtype.itemsize
        if dataset.id.get_storage_size() < size:
            raise CheckpointError(
                f"{path}: {name} {list(dataset.shape)} is compressed, sparse or cut off; expected {size} bytes"
            )
        sizes[_address(dataset)] = size
    if sum(sizes.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors are larger than the file; download or copy it again")


def _address(item: Any) -> int:
    """Where an object stands in its file; the same for all of its names."""
    import h5py

    return int(h5py.h5o.get_info(item.id).addr)
