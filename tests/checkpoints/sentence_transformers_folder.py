"""A model folder of sentence-transformers, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from model_folders import bert_arrays, bert_record, write_json, write_model
from safetensors.numpy import save_file

from dpr_tiny_retriever import Encoder

RECORD = bert_record(layers=1, width=16)
ARRAYS = bert_arrays(RECORD)
TEXTS = ["the city", ("the tower", "of the river")]
TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
EARLY_FLAGS = {
    "word_embedding_dimension": 16,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": False,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}


def write_modules(folder: Path, *kinds: str, package: str = "sentence_transformers.models") -> Path:
    write_model(folder, RECORD, ARRAYS)
    names = [kind if index else "" for index, kind in enumerate(kinds)]
    write_json(
        folder / "modules.json",
        [
            {"idx": index, "name": str(index), "path": f"{index}_{name}" if name else "", "type": f"{package}.{kind}"}
            for index, (kind, name) in enumerate(zip(kinds, names, strict=True))
        ],
    )
    for index, name in enumerate(names[1:], 1):
        (folder / f"{index}_{name}").mkdir()
    if kinds[1:2] == ("Pooling",):
        write_json(folder / "1_Pooling" / "config.json", EARLY_FLAGS | {"pooling_mode_cls_token": True})
    return folder


def write_dense(
    folder: Path, activation: str, *, width: int = 16, bias: bool = True, seed: int = 0, **changes: Any
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weight, offset = rng.normal(size=(width, 16)).astype(np.float32), rng.normal(size=width).astype(np.float32)
    shape = {"in_features": 16, "out_features": width, "bias": bias}
    write_json(folder / "config.json", {**shape, "activation_function": activation, **changes})
    tensors = {"linear.weight": weight} | ({"linear.bias": offset} if bias else {})
    save_file(tensors, str(folder / "model.safetensors"))
    return weight, offset if bias else np.zeros(width, np.float32)


def load(folder: Path, **how: Any) -> Encoder:
    return Encoder.from_pretrained(folder, side="passage", **how)
