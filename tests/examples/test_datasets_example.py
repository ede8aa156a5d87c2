"""The example for Hugging Face's datasets."""

import runpy
from pathlib import Path

import pytest
from passage_tables import assert_encoded, write_table

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.hf_datasets

EXAMPLE = Path(__file__).parents[2] / "examples" / "datasets_vectors.py"


def test_datasets_gives_the_encoders_vectors_and_a_bad_row_costs_itself(
    pair: DualEncoder, pair_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))  # read when datasets is imported
    table, target = write_table(tmp_path / "passages.parquet"), tmp_path / "vectors.parquet"
    runpy.run_path(str(EXAMPLE))["encode"](str(table), str(target), str(pair_directory))
    found = pq.read_table(target)
    assert found.schema.field("vector").type.value_type == "float"
    assert_encoded(found.to_pylist(), pair)
