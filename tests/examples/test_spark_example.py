"""The example for Spark, on two local workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from passage_tables import assert_encoded, write_table

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.spark

EXAMPLE = Path(__file__).parents[2] / "examples" / "spark_vectors.py"


def test_spark_gives_the_encoders_vectors_and_a_bad_row_costs_itself(
    pair: DualEncoder, pair_directory: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    options = "--master local[2] --driver-memory 512m --conf spark.ui.enabled=false pyspark-shell"
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": options, "SPARK_LOCAL_IP": "127.0.0.1"}
    table, target = write_table(tmp_path / "passages.parquet"), tmp_path / "vectors"
    command = [sys.executable, str(EXAMPLE), str(table), str(target), "--model", str(pair_directory)]
    # Not in the checkout, from which Spark's workers would import a package without its native backend.
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    found = pq.read_table(target)
    assert found.schema.field("vector").type.value_type == "float"
    assert_encoded(found.to_pylist(), pair)
