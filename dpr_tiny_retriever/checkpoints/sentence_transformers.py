"""The files that sentence-transformers keeps beside a model: pooling, dense modules, prompts, length, similarity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from dpr_tiny_retriever.checkpoints.json_files import read_json
from dpr_tiny_retriever.checkpoints.modules import MODULES_FILE, Module
from dpr_tiny_retriever.checkpoints.weights import SAFETENSORS_FILE, read_safetensors
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.types import Array, Pooling, Side, Similarity

MODEL_SETTINGS_FILE = "config_sentence_transformers.json"
TRANSFORMER_SETTINGS_FILE = "sentence_bert_config.json"

TANH = "torch.nn.modules.activation.Tanh"
IDENTITY = "torch.nn.modules.linear.Identity"

#: The flag of each pooling in earlier versions of a Pooling module's configuration.
POOLING_FLAGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}

#: The files that state a length: newer versions of sentence-transformers leave it to the tokenizer's.
MAX_LENGTH_KEYS = ((TRANSFORMER_SETTINGS_FILE, "max_seq_length"), ("tokenizer_config.json", "model_max_length"))

#: Names of the prompts of each side, in the order in which they are looked for.
PROMPT_NAMES: dict[Side, tuple[str, ...]] = {"query": ("query",), "passage": ("document", "passage", "corpus")}


@dataclass
class Settings:
    """What the files say of one side; None stands for what they do not say."""

    pooling: Pooling | None = None
    include_prompt: bool = True  # in the mean of tokens
    dense: dict[str, Array] = field(default_factory=dict)
    normalize: bool = False
    max_length: int | None = None
    lowercase: bool = False
    similarity: Similarity | None = None
    truncate_dim: int | None = None
    prompt: str = ""


def read_settings(directory: Path, modules: list[Module], side: Side) -> Settings:
    """Read what the modules of one side say; a folder without modules.json gives an empty record.

    Raises CheckpointError for modules that this package does not compute, and for values that no setting can have.
    """
    settings = Settings()
    if not (directory / MODULES_FILE).is_file():
        return settings
    kinds = [module.kind for module in modules]
    if not re.fullmatch("Transformer Pooling( Dense){0,2}( Normalize)?", " ".join(kinds)):
        raise CheckpointError(
            f"{directory / MODULES_FILE}: found the modules {', '.join(kinds) or '(none)'}; "
            "expected Transformer and Pooling, then at most two Dense and one Normalize"
        )
    for kind, folder in modules:
        if kind == "Pooling":
            _read_pooling(folder / "config.json", settings)
        elif kind == "Dense":
            _read_dense(folder, settings)
    settings.normalize = "Normalize" in kinds
    transformer = modules[0].folder
    settings.max_length = _max_length(transformer)
    settings.lowercase = bool(read_json(transformer / TRANSFORMER_SETTINGS_FILE, dict, missing={}).get("do_lower_case"))
    _read_model_settings(directory / MODEL_SETTINGS_FILE, side, settings)
    return settings


def _read_pooling(path: Path, settings: Settings) -> None:
    """Read the pooling, which is stated by its name, or in earlier versions of the file by a flag for each."""
    record = read_json(path, dict)
    stated = record.get("pooling_mode")
    if stated is None:
        flags = [key for key, chosen in record.items() if key.startswith("pooling_mode_") and chosen]
        stated = [POOLING_FLAGS.get(flag, flag) for flag in flags]
    if stated not in ("cls", "mean", ["cls"], ["mean"]):
        raise CheckpointError(f"{path}: the pooling is {stated!r}; expected 'cls' or 'mean'")
    settings.pooling = cast(Pooling, stated if isinstance(stated, str) else stated[0])
    settings.include_prompt = bool(record.get("include_prompt", True))


def _read_dense(folder: Path, settings: Settings) -> None:
    """Take a Dense module as BERT's pooler (tanh after [CLS]) or as a projection (no activation)."""
    record = read_json(folder / "config.json", dict)
    activation = record.get("activation_function", TANH)
    if record.get("use_residual"):
        raise CheckpointError(f"{folder}/config.json: use_residual is set; expected a Dense without it")
    path = folder / SAFETENSORS_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {SAFETENSORS_FILE}; expected the weights of the Dense module")
    stored = read_safetensors(path)
    if not {"linear.weight"} <= stored.keys() <= {"linear.weight", "linear.bias"}:
        names = ", ".join(sorted(stored)) or "nothing"
        raise CheckpointError(f"{path}: found {names}; expected linear.weight and linear.bias")
    weight = stored["linear.weight"]
    bias = stored.get("linear.bias", np.zeros(len(weight), np.float32))
    if activation == TANH and settings.pooling == "cls" and not settings.dense:
        settings.pooling = "pooler"
        settings.dense |= {"pooler.dense.weight": weight, "pooler.dense.bias": bias}
    elif activation == IDENTITY and "encode_proj.weight" not in settings.dense:
        settings.dense |= {"encode_proj.weight": weight, "encode_proj.bias": bias}
    else:
        raise CheckpointError(
            f"{folder}: a Dense module with {activation} after {settings.pooling} pooling; "
            f"expected at most one with {TANH}, directly after cls pooling, and one with {IDENTITY}"
        )


def _max_length(transformer: Path) -> int | None:
    for name, key in MAX_LENGTH_KEYS:
        length = read_json(transformer / name, dict, missing={}).get(key)
        if length is None:
            continue
        if type(length) is not int or length < 3:  # [CLS], one word, [SEP]
            raise CheckpointError(f"{transformer / name}: {key} is {length!r}; expected a number of tokens, at least 3")
        return length
    return None


def _read_model_settings(path: Path, side: Side, settings: Settings) -> None:
    record = read_json(path, dict, missing={})
    similarity = record.get("similarity_fn_name")
    if similarity not in (None, "dot", "cosine"):
        raise CheckpointError(f"{path}: similarity_fn_name is {similarity!r}; expected 'dot' or 'cosine'")
    settings.similarity = similarity or "cosine"  # the default of sentence-transformers
    truncate_dim = record.get("truncate_dim")
    if truncate_dim is not None and (type(truncate_dim) is not int or truncate_dim < 1):
        raise CheckpointError(f"{path}: truncate_dim is {truncate_dim!r}; expected a number of dimensions")
    settings.truncate_dim = truncate_dim
    settings.prompt = _prompt(record, path, side)


def _prompt(record: Mapping[str, Any], path: Path, side: Side) -> str:
    """The side's own prompt; else the default one, unless that is the other side's own."""
    prompts = record.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, (str, type(None))) for text in prompts.values()):
        raise CheckpointError(f"{path}: prompts is {prompts!r}; expected a text for each name")
    default = record.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise CheckpointError(
            f"{path}: default_prompt_name is {default!r}; expected one of the prompts {', '.join(prompts) or '(none)'}"
        )
    other: Side = "passage" if side == "query" else "query"
    names = [*PROMPT_NAMES[side], *([default] if default not in PROMPT_NAMES[other] else [])]
    return next((prompts[name] for name in names if prompts.get(name) is not None), "")
