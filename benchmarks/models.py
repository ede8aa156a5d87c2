"""The pairs that are measured, as folders that every peer can load, and the operations that they need."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
BUNDLED = REPOSITORY / "dpr_tiny_retriever" / "bundled"

#: Layers of each pair. All have width 128 and 2 heads.
LAYERS = {"L-2": 2, "L-12": 12, "bundled": 2}
WIDTH, HEADS = 128, 2


@dataclass(frozen=True)
class Model:
    """A pair on disk."""

    name: str
    source: Path
    """The folder that this package loads."""
    saved: Path
    """The same as this package saves it, with a folder for each side, which the peers load."""


def prepare(name: str, folder: Path) -> Model:
    """Write a pair of the published architecture: BERT's vocabulary, random weights, pooler."""
    if name == "bundled":
        return Model(name, BUNDLED / "L2", folder / name / "saved")
    sys.path.append(str(REPOSITORY / "tests"))
    from model_folders import bert_arrays, bert_record, write_model, write_tokenizer

    vocabulary = (BUNDLED / "L2" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    record = bert_record(layers=LAYERS[name], vocab_size=len(vocabulary))
    source = folder / name / "source"
    for seed, side in enumerate(("query_encoder", "passage_encoder")):
        write_model(source / side, record, bert_arrays(record, seed=seed))
        write_tokenizer(source / side, vocabulary)
    return Model(name, source, folder / name / "saved")


def operations(name: str, lengths: list[int]) -> float:
    """Return the floating-point operations for texts of these lengths without padding; a multiply-add counts as two.

    A token needs, in each layer, four products of width x width and two of width x 4 width. A pair of tokens needs one
    attention score and one weighted sum. A pair with a pooler reads only [CLS] of the last layer: there, the products
    are needed for one token, and a score and a sum for each head and token. LayerNorm, activation and softmax are not
    counted.
    """
    tokens = np.array(lengths, np.float64)
    layer = 12 * WIDTH**2 * tokens.sum() + 2 * WIDTH * (tokens**2).sum()
    if name == "bundled":
        return 2 * float(LAYERS[name] * layer)
    last_layer = 13 * WIDTH**2 * len(tokens) + 2 * HEADS * WIDTH * tokens.sum()  # with the pooler
    return 2 * float((LAYERS[name] - 1) * layer + last_layer)
