"""Write a trained pair whose two sides are one encoder as the single folder that ships: half precision on disk.

python recipes/bundle.py PAIR dpr_tiny_retriever/bundled
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.checkpoints.weights import write_safetensors

_LIMIT = 20_000_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pair", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    pair = DualEncoder.from_pretrained(options.pair)
    texts = ["who wrote the first book on optics", "An essay on light."]
    expected = pair.encode_queries(texts)
    if not np.allclose(expected, pair.passage_encoder.encode(texts), atol=1e-6):
        raise SystemExit("the two sides are two encoders; expected a pair trained with tied: true")
    # The passages' side: its length is the longer one.
    pair.passage_encoder.save_pretrained(options.output)
    weights = options.output / "model.safetensors"
    halved = {name: array.astype(np.float16) for name, array in load_file(weights).items()}
    write_safetensors(weights, halved)
    card = options.pair / "README.md"
    if card.exists():
        (options.output / "README.md").write_bytes(card.read_bytes())
    found = DualEncoder.from_pretrained(options.output).encode_queries(texts)
    size = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file())
    error = np.abs(found - expected).max()
    print(f"{options.output}: {size / 1e6:.1f} MB, vectors within {error:.1e} of full precision")
    if size > _LIMIT:
        raise SystemExit(f"expected at most {_LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
