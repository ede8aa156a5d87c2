"""Encode a Parquet table of passages with Spark: columns id, title and text in, id, vector and reason out.

    pip install "dpr-tiny-retriever[corpus]" "pyspark[sql]"
    python examples/spark_vectors.py passages.parquet vectors.parquet

Each Python worker loads the model once. A row that cannot be encoded has no vector, and its reason says why.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, when
from pyspark.sql.types import ArrayType, FloatType, StringType, StructType

FOUND = StructType().add("vector", ArrayType(FloatType())).add("reason", StringType())


def encode(source: str, target: str, model: str | None) -> None:
    """Write the vectors of a folder or file of Parquet into a new folder."""
    passages = SparkSession.builder.appName("vectors").getOrCreate().read.parquet(source)

    def load() -> Callable[..., dict[str, Any]]:  # called once in each worker
        from dpr_tiny_retriever.corpus.batch_encoder import BatchEncoder

        encoder = BatchEncoder(model, id_column=None)

        def predict(title: Any, text: Any) -> dict[str, Any]:
            found = encoder({"title": title, "text": text})
            return {"vector": found["vector"], "reason": found["reason"]}

        return predict

    encoded = predict_batch_udf(load, return_type=FOUND, batch_size=4096)
    rows = passages.select("id", encoded("title", "text").alias("found"))
    vector = when(col("found.reason") == "", col("found.vector")).alias("vector")
    rows.select("id", vector, "found.reason").write.parquet(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--model", help="a preset, a folder or a hub id; the bundled pair if left out")
    arguments = parser.parse_args()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers on this machine are this Python
    encode(arguments.source, arguments.target, arguments.model)


if __name__ == "__main__":
    main()
