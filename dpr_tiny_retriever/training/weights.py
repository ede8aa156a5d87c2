"""Trained weights after training: means of several pairs, and the one folder that ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.checkpoints.checkpoint import write_checkpoint
from dpr_tiny_retriever.checkpoints.weights import SAFETENSORS_FILE, SCALE_SUFFIX, quantize_rows, write_safetensors
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.model.config import BertWeights
from dpr_tiny_retriever.model.tree import tree_leaves, tree_map
from dpr_tiny_retriever.training.initialisation import with_weights


def mean_pair(shares: Mapping[str, float]) -> DualEncoder:
    """The mean of the weights of these models, each with its share; all else is the first one's.

    Wortsman et al. 2022, "Model soups": such a mean generalizes better than its parts. Raises ValueError where the
    models have different shapes.
    """
    pairs = [DualEncoder.from_pretrained(name) for name in shares]
    first = pairs[0]
    sides = [[_side(pair, name) for pair in pairs] for name in ("query", "passage")]
    if len({side.config for both in sides for side in both}) > 1:
        raise ValueError(f"{', '.join(shares)} have different shapes; expected models trained from one another")
    query, passage = (_mean([side.weights for side in same], [*shares.values()]) for same in sides)
    if _is_one_encoder(first):
        passage = query
    return DualEncoder(with_weights(first.query_encoder, query), with_weights(first.passage_encoder, passage))


def write_bundle(pair: DualEncoder, folder: Path) -> None:
    """Write a pair with a shared encoder as one quantized model folder; raises ValueError if it has two encoders."""
    if not _is_one_encoder(pair):
        raise ValueError("the two sides are two encoders; expected a pair that was trained with tied: true")
    write_small_encoder(pair.passage_encoder, folder)  # its length is the longer one


def write_small_encoder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder as a quantized model folder: weight matrices in int8, biases and layer norms in float16.

    It has no tokenizer.json, which would repeat vocab.txt and tokenizer_config.json.
    """
    with replaced_folder(folder) as part:
        write_checkpoint(part, encoder.checkpoint())
        (part / "tokenizer.json").unlink()
        tensors = load_file(part / SAFETENSORS_FILE)
        stored: dict[str, NDArray[Any]] = {}
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                stored[name], stored[name + SCALE_SUFFIX] = quantize_rows(tensor)
            else:
                stored[name] = tensor.astype(np.float16)
        write_safetensors(part / SAFETENSORS_FILE, stored)


def _side(pair: DualEncoder, name: str) -> Encoder:
    return pair.query_encoder if name == "query" else pair.passage_encoder


def _is_one_encoder(pair: DualEncoder) -> bool:
    both = (tree_leaves(side.weights) for side in (pair.query_encoder, pair.passage_encoder))
    return all(np.array_equal(*arrays) for arrays in zip(*both, strict=True))


def _mean(weights: list[BertWeights], shares: list[float]) -> BertWeights:
    leaves = zip(*(tree_leaves(each) for each in weights), strict=True)
    means = iter([np.tensordot(np.array(shares, np.float32), np.stack(arrays), axes=1) for arrays in leaves])
    return tree_map(lambda _: next(means), weights[0])
