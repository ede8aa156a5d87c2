"""A Parquet table of passages, one of them bad, and what engines have to make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever import DualEncoder

NUM_ROWS = 200
#: The row without a text.
BAD = 17
REASON = "the text is null; expected str"


def write_table(path: Path, rows: int = NUM_ROWS) -> Path:
    """Write the columns id, title and text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    titles = [None if row % 3 == 0 else f"the city of {row}" for row in range(rows)]
    texts = [None if row == BAD else f"passage {row} of the river {row * 7}" for row in range(rows)]
    pq.write_table(pa.table({"id": [f"id{row}" for row in range(rows)], "title": titles, "text": texts}), path)
    return path


def assert_encoded(found: list[dict[str, Any]], encoder: DualEncoder, rows: int = NUM_ROWS) -> None:
    """Check every row of what an engine has made: vectors are the encoder's, and the bad row costs itself."""
    found = sorted(found, key=lambda row: int(row["id"].removeprefix("id")))
    assert [row["id"] for row in found] == [f"id{row}" for row in range(rows)]
    assert [row["reason"] for row in found] == [REASON if row == BAD else "" for row in range(rows)]
    bad = found.pop(BAD)["vector"]
    assert bad is None or np.isnan(bad).all()
    pairs = [
        ("" if row % 3 == 0 else f"the city of {row}", f"passage {row} of the river {row * 7}") for row in range(rows)
    ]
    expected = encoder.encode_passages([pair for row, pair in enumerate(pairs) if row != BAD])
    np.testing.assert_allclose([row["vector"] for row in found], expected, rtol=0, atol=1e-6)
