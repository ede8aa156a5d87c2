"""Writes the files that sentence-transformers keeps beside a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.checkpoints.json_files import write_json
from dpr_tiny_retriever.checkpoints.modules import MODULES_FILE
from dpr_tiny_retriever.checkpoints.sentence_transformers import (
    IDENTITY,
    MODEL_SETTINGS_FILE,
    POOLING_FLAGS,
    TANH,
    TRANSFORMER_SETTINGS_FILE,
)
from dpr_tiny_retriever.checkpoints.weights import SAFETENSORS_FILE, write_safetensors
from dpr_tiny_retriever.model.config import BertConfig
from dpr_tiny_retriever.types import Array, Similarity

#: The dense modules after the pooling, in their order, with their activations; the first is BERT's pooler.
DENSE_MODULES = (("pooler.dense", TANH), ("encode_proj", IDENTITY))


def write_settings(
    directory: Path,
    config: BertConfig,
    dense: Mapping[str, Array],
    *,
    max_length: int,
    similarity: Similarity,
    prompt: str = "",
) -> None:
    """Write the files that describe an encoder; dense has its pooler and projection, if any, in PyTorch's naming."""
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    chosen = "pooling_mode_mean_tokens" if config.pooling == "mean" else "pooling_mode_cls_token"
    flags = {flag: flag == chosen for flag in POOLING_FLAGS}
    write_json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": config.hidden_size, **flags})
    for name, activation in DENSE_MODULES:
        if f"{name}.weight" in dense:
            folder = f"{len(modules)}_Dense"
            modules.append(("Dense", folder))
            _write_dense(directory / folder, dense[f"{name}.weight"], dense[f"{name}.bias"], activation)
    if config.normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
    write_json(
        directory / MODULES_FILE,
        [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (kind, path) in enumerate(modules)
        ],
    )
    write_json(directory / TRANSFORMER_SETTINGS_FILE, {"max_seq_length": max_length, "do_lower_case": False})
    settings: dict[str, Any] = {"similarity_fn_name": similarity}
    if prompt:  # of this side, whichever method of sentence-transformers encodes
        settings |= {"prompts": {"query": prompt, "document": prompt}, "default_prompt_name": "query"}
    write_json(directory / MODEL_SETTINGS_FILE, settings)


def _write_dense(folder: Path, weight: Array, bias: Array, activation: str) -> None:
    shape = {"in_features": weight.shape[1], "out_features": weight.shape[0]}
    write_json(folder / "config.json", {**shape, "bias": True, "activation_function": activation})
    write_safetensors(folder / SAFETENSORS_FILE, {"linear.weight": weight, "linear.bias": bias})
