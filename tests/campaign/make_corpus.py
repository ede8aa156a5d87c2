"""Write the binary files of corpus/, safetensors and h5, each valid or with a single defect.

    python tests/campaign/make_corpus.py

The files of the other kinds in corpus/ were written by hand. test_corpus.py states the outcome of each file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from model_folders import bert_arrays, bert_record, write_h5, write_safetensors

CORPUS = Path(__file__).with_name("corpus")
#: The configuration of the models whose weights these are: as small as one can be.
RECORD = bert_record(layers=1, width=4, heads=1, max_position_embeddings=8, vocab_size=160)
ARRAYS = bert_arrays(RECORD)
WORDS = "bert/tf_bert_model_1/bert/embeddings/word_embeddings/weight:0"


def _header(record: object, size: int | None = None) -> bytes:
    """The beginning of a safetensors file, whose header claims to be of this size."""
    header = json.dumps(record).encode()
    return (len(header) if size is None else size).to_bytes(8, "little") + header


def _tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_safetensors_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder, ARRAYS)
    (folder / "model.safetensors").rename(folder / "sound.safetensors")
    broken = {name: array.copy() for name, array in ARRAYS.items()}
    broken["embeddings.LayerNorm.weight"][1] = np.nan
    write_safetensors(folder, broken)
    (folder / "model.safetensors").rename(folder / "nan.safetensors")
    words = "embeddings.word_embeddings.weight"
    contents = {
        "empty": b"",
        "cut": (folder / "sound.safetensors").read_bytes()[:-64],
        "header-of-exabytes": _header({}, 1 << 62),
        "header-beyond-its-end": _header({words: _tensor([1], 0, 4)}, 10_000) + bytes(4),
        "header-is-a-list": _header([1]),
        "header-nested": (4000).to_bytes(8, "little") + b"[" * 4000,
        "offsets-overlap": _header({words: _tensor([1], 0, 4), "b": _tensor([1], 2, 6)}) + bytes(6),
        "offsets-backwards": _header({words: _tensor([1], 4, 0)}) + bytes(4),
        "shape-overflows": _header({words: _tensor([1 << 62, 16], 0, 4)}) + bytes(4),
        "shape-of-terabytes": _header({words: _tensor([1 << 38, 4], 0, 4)}) + bytes(4),
        "type-unknown": _header({words: _tensor([1], 0, 4, "F33")}) + bytes(4),
        "name-is-a-surrogate": _header({"\ud800": _tensor([1], 0, 4)}) + bytes(4),
    }
    for name, content in contents.items():
        (folder / f"{name}.safetensors").write_bytes(content)


def _shared(file: Any) -> None:
    file["bert/again"] = file["bert"]
    file["bert/tf_bert_model_1/root"] = file["/"]


def _sparse(file: Any) -> None:
    del file[WORDS]
    file.create_dataset(WORDS, (1 << 40, 4), "<f4", chunks=True)


def _compressed(file: Any) -> None:
    del file[WORDS]
    file.create_dataset(WORDS, data=np.zeros((160, 4), np.float32), compression="gzip")


def _stored_outside(file: Any) -> None:
    del file[WORDS]
    file.create_dataset(WORDS, (160, 4), "<f4", external=[("/etc/hostname", 0, 160 * 4 * 4)])


def _of_texts(file: Any) -> None:
    del file[WORDS]
    file[WORDS] = "the river"


H5_FILES: dict[str, Callable[[Any], object]] = {
    "sound": lambda file: None,
    "cycle": _shared,
    "soft-link": lambda file: file.__setitem__("bert/link", h5py.SoftLink("/")),
    "external-link": lambda file: file.__setitem__("bert/link", h5py.ExternalLink("/etc/hostname", "/")),
    "sparse-terabytes": _sparse,
    "compressed": _compressed,
    "stored-outside": _stored_outside,
    "text-for-a-tensor": _of_texts,
}


def write_h5_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_h5(folder, ARRAYS)
    for name, change in H5_FILES.items():
        # In the latest format, which is half as large.
        with h5py.File(folder / "tf_model.h5") as sound, h5py.File(folder / f"{name}.h5", "w", libver="latest") as file:
            sound.copy("bert", file)
            change(file)
    (folder / "tf_model.h5").unlink()
    content = (folder / "sound.h5").read_bytes()
    (folder / "cut.h5").write_bytes(content[: len(content) // 2])


if __name__ == "__main__":
    write_safetensors_files(CORPUS / "safetensors")
    write_h5_files(CORPUS / "h5")
