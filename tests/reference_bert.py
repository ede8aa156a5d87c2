"""BERT once more, in numpy and float64, one text at a time: slow, and readable beside the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ACTIVATIONS = {
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}
ACTIVATIONS |= {"gelu_pytorch_tanh": ACTIVATIONS["gelu_new"], "swish": ACTIVATIONS["silu"]}


def encode(
    record: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.float32]],
    token_ids: list[int],
    segment_ids: list[int],
    *,
    pooling: str,
    normalize: bool = False,
) -> Array:
    """The vector of one text, [hidden_size] or [projection_dim]; arrays go by PyTorch's names."""
    tensors = {name: array.astype(np.float64) for name, array in arrays.items()}
    width, heads = record["hidden_size"], record["num_attention_heads"]
    size = width // heads

    def dense(name: str, x: Array) -> Array:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + record["layer_norm_eps"])
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    words = tensors["embeddings.word_embeddings.weight"][token_ids]
    places = tensors["embeddings.position_embeddings.weight"][: len(token_ids)]
    kinds = tensors["embeddings.token_type_embeddings.weight"][segment_ids]
    hidden = norm("embeddings.LayerNorm", words + places + kinds)
    for index in range(record["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        query, key, value = (dense(f"{layer}.attention.self.{part}", hidden) for part in ("query", "key", "value"))
        context = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            context.append(weights / weights.sum(-1, keepdims=True) @ value[:, part])
        attended = dense(f"{layer}.attention.output.dense", np.concatenate(context, -1))
        hidden = norm(f"{layer}.attention.output.LayerNorm", hidden + attended)
        widened = ACTIVATIONS[record["hidden_act"]](dense(f"{layer}.intermediate.dense", hidden))
        hidden = norm(f"{layer}.output.LayerNorm", hidden + dense(f"{layer}.output.dense", widened))
    vector = hidden.mean(0) if pooling == "mean" else hidden[0]
    if pooling == "pooler":
        vector = np.tanh(dense("pooler.dense", vector))
    if "encode_proj.weight" in tensors:
        vector = dense("encode_proj", vector)
    return vector / np.linalg.norm(vector) if normalize else vector
