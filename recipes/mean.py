"""Write the mean of the weights of pairs that were trained from one another, each pair with its share.

    python recipes/mean.py OUTPUT PAIR=SHARE PAIR=SHARE ...

Wortsman et al. 2022, "Model soups": such a mean generalises better than its parts.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.model.tree import tree_leaves, tree_map


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("pairs", nargs="+", metavar="PAIR=SHARE")
    options = parser.parse_args()
    parts = [part.rpartition("=") for part in options.pairs]
    shares = [float(share) for _, _, share in parts]
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise SystemExit(f"the shares are {shares}; expected a sum of 1")
    pairs = [DualEncoder.from_pretrained(folder) for folder, _, _ in parts]
    tables = [[side.weights.embeddings.word for side in (pair.query_encoder, pair.passage_encoder)] for pair in pairs]
    if not all(np.array_equal(*both) for both in tables):
        raise SystemExit("the two sides of a pair are two encoders; expected pairs trained with tied: true")

    def mean(*arrays: np.ndarray) -> np.ndarray:
        return sum(share * array for share, array in zip(shares, arrays, strict=True)).astype(np.float32)

    leaves = [tree_leaves(pair.passage_encoder.weights) for pair in pairs]
    means = iter([mean(*arrays) for arrays in zip(*leaves, strict=True)])
    weights = tree_map(lambda _: next(means), pairs[0].passage_encoder.weights)
    first = pairs[0].passage_encoder
    passages = Encoder(first.config, weights, first.tokenizer, max_length=first.max_length, similarity=first.similarity)
    queries = passages.with_max_length(pairs[0].query_encoder.max_length)
    DualEncoder(queries, passages).save_pretrained(options.output)


if __name__ == "__main__":
    main()
