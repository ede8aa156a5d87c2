"""Encode a Parquet table of passages with Ray Data: columns id, title and text in, with vector and reason out.

    pip install "dpr-tiny-retriever[ray]"
    python examples/ray_data_vectors.py passages.parquet vectors --workers 2

For pipelines of your own: `dpr-tiny encode --engine ray` writes the shards of `dpr-tiny encode`. Each worker is an
actor that loads the model once. Ray keeps the ids of written rows in a folder beside the vectors, leaves these rows out
of the next run, and holds the ids in memory while it runs; that takes two CPUs more than there are workers, without
which the run waits for ever. A row that cannot be encoded has a vector of NaN, and its reason says why.
"""

import argparse
from pathlib import Path

import ray
from ray.data.checkpoint import CheckpointConfig

from dpr_tiny_retriever.corpus.batch_encoder import BatchEncoder


def encode(source: str, target: str, model: str | None, workers: int) -> None:
    """Write Parquet files of passages with their vectors into a folder."""
    written = Path(f"{target}.written").resolve()
    ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=str(written), delete_checkpoint_on_success=False
    )
    passages = ray.data.read_parquet(source)
    actors = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
    rows = passages.map_batches(BatchEncoder, fn_constructor_args=(model,), batch_size=4096, num_cpus=1, compute=actors)
    rows.write_parquet(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--model", help="a preset, a folder or a hub id; the bundled pair if left out")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    encode(arguments.source, arguments.target, arguments.model, arguments.workers)


if __name__ == "__main__":
    main()
