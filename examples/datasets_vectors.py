"""Encode a Hugging Face dataset of passages: columns id, title and text in, with vector and reason out.

    pip install dpr-tiny-retriever datasets
    python examples/datasets_vectors.py passages.parquet vectors.parquet

No num_proc: the encoder uses all processors by its own threads. A row that cannot be encoded has a vector of NaN, and
its reason says why. datasets keeps what it has encoded in its cache: the same call again reads it from there.
"""

import argparse

from datasets import Dataset

from dpr_tiny_retriever.corpus.batch_encoder import BatchEncoder


def encode(source: str, target: str, model: str | None) -> None:
    """Write a Parquet file of passages with their vectors."""
    passages = Dataset.from_parquet(source)
    passages.map(BatchEncoder(model), batched=True, batch_size=4096).to_parquet(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--model", help="a preset, a folder or a hub id; the bundled pair if left out")
    arguments = parser.parse_args()
    encode(arguments.source, arguments.target, arguments.model)


if __name__ == "__main__":
    main()
