"""The pairs that are measured, written as folders that every peer can load, and how much arithmetic they need."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
BUNDLED = REPOSITORY / "dpr_tiny_retriever" / "models"

#: Layers of each pair; all are 128 wide with 2 heads.
LAYERS = {"L-2": 2, "L-12": 12, "bundled": 2}
WIDTH, HEADS = 128, 2


@dataclass(frozen=True)
class Model:
    """A pair: the folder that ours loads, and the folder with a model for each side that the peers load."""

    name: str
    source: Path
    saved: Path


def prepare(name: str, folder: Path) -> Model:
    """Write a pair with the layout of the published ones: BERT's vocabulary, random weights, and the pooler."""
    if name == "bundled":
        return Model(name, BUNDLED, folder / name / "saved")
    sys.path.append(str(HERE.parent))
    from model_folders import bert_arrays, bert_record, write_model, write_tokenizer

    vocabulary = (BUNDLED / "vocab.txt").read_text(encoding="utf-8").splitlines()
    record = bert_record(layers=LAYERS[name], vocab_size=len(vocabulary))
    source = folder / name / "source"
    for seed, side in enumerate(("query_encoder", "passage_encoder")):
        write_model(source / side, record, bert_arrays(record, seed=seed))
        write_tokenizer(source / side, vocabulary)
    return Model(name, source, folder / name / "saved")


def operations(name: str, lengths: list[int]) -> float:
    """Floating-point operations that texts of these lengths need, a multiply-add counted as two, without padding.

    Of a token in a layer: four products of width by width and two of width by four widths; of two tokens: one score
    and one weighted sum. The pairs with a pooler read the first token of the last layer alone, so it needs, of the
    products, those of one token, and a score and a sum for each head and token. Normalisation, activation and softmax
    are not counted.
    """
    tokens = np.array(lengths, np.float64)
    layer = 12 * WIDTH**2 * tokens.sum() + 2 * WIDTH * (tokens**2).sum()
    if name == "bundled":
        return 2 * float(LAYERS[name] * layer)
    first = 13 * WIDTH**2 * len(tokens) + 2 * HEADS * WIDTH * tokens.sum()  # with the pooler
    return 2 * float((LAYERS[name] - 1) * layer + first)
