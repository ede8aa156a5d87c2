"""A model folder <-> configuration, weights and tokenizer.

Reads `bert` and `dpr` models and the files that sentence-transformers puts beside them. Writes plain BERT in
PyTorch's naming with the same files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever.checkpoints.bert_tensors import assemble_weights, compare_shapes, split_weights
from dpr_tiny_retriever.checkpoints.hub import Source
from dpr_tiny_retriever.checkpoints.json_files import read_json, write_json
from dpr_tiny_retriever.checkpoints.modules import Module, read_modules
from dpr_tiny_retriever.checkpoints.presets import DEFAULT_MAX_LENGTH
from dpr_tiny_retriever.checkpoints.sentence_transformers import MODEL_SETTINGS_FILE, Settings, read_settings
from dpr_tiny_retriever.checkpoints.sentence_transformers_writer import write_settings
from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer, save_tokenizer
from dpr_tiny_retriever.checkpoints.weights import SAFETENSORS_FILE, read_tensors, write_safetensors
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.model.config import ACTIVATIONS, BertConfig, BertWeights
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer
from dpr_tiny_retriever.types import Array, Pooling, Side, Similarity

#: Fields of BertConfig that stand in the files of sentence-transformers, not in config.json.
SIDECAR_FIELDS = {"projection_dim", "pooling", "normalize"}


@dataclass(frozen=True)
class Checkpoint:
    """What a model folder holds for one side. The tokenizer has the side's prompt, the weights are float32 arrays."""

    config: BertConfig
    weights: BertWeights
    tokenizer: PairTokenizer
    max_length: int  # in tokens, special tokens included
    similarity: Similarity


def read_checkpoints(
    sources: Mapping[Side, Source], *, pooling: Pooling | None = None, normalize: bool | None = None
) -> dict[Side, Checkpoint]:
    """Read the sides of a model; sides that are made of the same modules share one object of weights.

    pooling and normalize replace what the folders say. Raises CheckpointError that lists every missing, unexpected or
    misshapen tensor, or says why a file cannot be used, and MissingExtraError where a tokenizer needs transformers.
    """
    read: dict[tuple[Module, ...], Checkpoint] = {}
    checkpoints: dict[Side, Checkpoint] = {}
    for side, source in sources.items():
        source.require_settings(pooling)
        modules = read_modules(source.directory, side)
        settings = read_settings(source.directory, modules, side)
        _check_prompt(settings, pooling, source.directory)
        key = tuple(modules)
        if key not in read:
            read[key] = _read_model(source, modules, settings, pooling=pooling, normalize=normalize)
        shared = read[key]
        stated = source.preset.max_length(side) if source.preset else settings.max_length
        length = min(stated or DEFAULT_MAX_LENGTH[side], shared.config.max_position_embeddings)
        tokenizer = shared.tokenizer.with_prompt(settings.prompt)
        checkpoints[side] = dataclasses.replace(shared, tokenizer=tokenizer, max_length=length)
    return checkpoints


def write_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write one side into an existing folder: configuration, weights, tokenizer, files of sentence-transformers."""
    config = checkpoint.config
    fields = {field.name for field in dataclasses.fields(config)}
    record = {name: getattr(config, name) for name in sorted(fields - SIDECAR_FIELDS)} | {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "text_segment": checkpoint.tokenizer.text_segment,
    }
    write_json(directory / "config.json", record)
    tensors = split_weights(config, checkpoint.weights)
    dense = {name: tensor for name, tensor in tensors.items() if name.startswith(("pooler.", "encode_proj."))}
    bert = {name: tensor for name, tensor in tensors.items() if not name.startswith("encode_proj.")}
    write_safetensors(directory / SAFETENSORS_FILE, bert)
    write_settings(
        directory,
        config,
        dense,
        max_length=checkpoint.max_length,
        similarity=checkpoint.similarity,
        prompt=checkpoint.tokenizer.prompt,
    )
    save_tokenizer(checkpoint.tokenizer, directory, checkpoint.max_length)


def _read_model(
    source: Source, modules: list[Module], settings: Settings, *, pooling: Pooling | None, normalize: bool | None
) -> Checkpoint:
    """What the sides of one model share."""
    folder = modules[0].folder
    preset = source.preset
    record = _read_config(folder / "config.json")
    text_segment = preset.text_segment if preset else record.get("text_segment", 1)
    if record.get("type_vocab_size", BertConfig.type_vocab_size) == 1:
        text_segment = 0  # a model with one segment embedding was trained with segment id 0 only
    tokenizer = load_tokenizer(folder, text_segment, lowercase=settings.lowercase)
    tensors = read_tensors(folder) | settings.dense
    is_bert = record.get("model_type", "bert") == "bert"
    if is_bert:  # its projection, if it has one, is a Dense module
        record["projection_dim"] = len(settings.dense.get("encode_proj.bias", ()))
    has_pooler = is_bert and "pooler.dense.weight" in tensors
    config = _bert_config(
        record,
        folder / "config.json",
        pooling=pooling or (preset and preset.pooling) or settings.pooling or ("pooler" if has_pooler else "cls"),
        normalize=settings.normalize if normalize is None else normalize,
    )
    compare_shapes(config, {name: tensor.shape for name, tensor in tensors.items()}, folder)
    if settings.truncate_dim is not None and settings.truncate_dim < config.embedding_dim:
        if settings.normalize and normalize is None:
            raise CheckpointError(
                f"{source.directory / MODEL_SETTINGS_FILE}: truncate_dim is {settings.truncate_dim} after a Normalize "
                "module, which gives vectors of any length; expected normalize=True, for unit length after the "
                "truncation, or normalize=False"
            )
        tensors |= _truncated_projection(tensors, config, settings.truncate_dim)
        config = dataclasses.replace(config, projection_dim=settings.truncate_dim)
    return Checkpoint(
        config,
        assemble_weights(config, tensors, folder),
        tokenizer,
        max_length=config.max_position_embeddings,
        similarity=(preset and preset.similarity) or settings.similarity or ("cosine" if config.normalize else "dot"),
    )


def _check_prompt(settings: Settings, pooling: Pooling | None, directory: Path) -> None:
    if settings.prompt and not settings.include_prompt and pooling is None:
        raise CheckpointError(
            f"{directory}: include_prompt is false with the prompt {settings.prompt!r}: the pooling leaves out the "
            "prompt's tokens; expected a model that includes them, or pooling='mean' or 'cls' for one over all tokens"
        )


def _read_config(path: Path) -> dict[str, Any]:
    record = read_json(path, dict)
    model_type = record.get("model_type", "bert")
    if model_type not in ("bert", "dpr"):
        raise CheckpointError(f"{path}: model_type is {model_type!r}; expected 'bert' or 'dpr'")
    code = record.get("auto_map")
    if isinstance(code, dict) and "AutoModel" in code:
        raise CheckpointError(
            f"{path}: auto_map names code of the model's own ({code['AutoModel']}), which is never run; expected a BERT"
        )
    return record


#: The smallest valid values of settings whose minimum is not 1. A text has at least [CLS], a token and [SEP].
_LEAST = {"projection_dim": 0, "num_hidden_layers": 0, "max_position_embeddings": 3}


def _bert_config(record: Mapping[str, Any], path: Path, *, pooling: Pooling, normalize: bool) -> BertConfig:
    """The fields of BertConfig in config.json; CheckpointError for a value that no BERT can have."""
    fields = [field.name for field in dataclasses.fields(BertConfig)]
    stated = {name: record[name] for name in fields if name in record}

    def expect(name: str, holds: bool, expected: str) -> None:
        if name in record and not holds:
            raise CheckpointError(f"{path}: {name} is {record[name]!r}; expected {expected}")

    for name in stated.keys() - {"hidden_act", "layer_norm_eps"}:
        value, least = record[name], _LEAST.get(name, 1)
        expect(name, type(value) is int and value >= least, f"a whole number of at least {least}")
    eps: Any = record.get("layer_norm_eps")
    expect("layer_norm_eps", type(eps) in (int, float) and 0 <= eps < 1, "a number of at least 0 and below 1")
    expect("hidden_act", isinstance(record.get("hidden_act"), str), f"one of {', '.join(ACTIVATIONS)}")
    expect("position_embedding_type", record.get("position_embedding_type") == "absolute", "'absolute'")
    expect("text_segment", record.get("text_segment") in (0, 1), "0 or 1")
    try:
        return BertConfig(**{**stated, "pooling": pooling, "normalize": normalize})
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _truncated_projection(tensors: Mapping[str, Array], config: BertConfig, size: int) -> dict[str, Array]:
    """A projection to the first dimensions of the vector: the model's own cut off, or a part of the identity."""
    if config.projection_dim:
        weight, bias = tensors["encode_proj.weight"], tensors["encode_proj.bias"]
    else:
        weight, bias = np.eye(config.hidden_size, dtype=np.float32), np.zeros(config.hidden_size, np.float32)
    return {"encode_proj.weight": weight[:size], "encode_proj.bias": bias[:size]}
