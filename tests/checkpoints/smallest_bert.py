"""The smallest BERT that shows every mistake of a reader, and the ways in which tests read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import Arrays, bert_arrays, bert_record, write_model

from dpr_tiny_retriever import CheckpointError, Encoder
from dpr_tiny_retriever.checkpoints.checkpoint import Checkpoint, read_checkpoints
from dpr_tiny_retriever.checkpoints.hub import Source

RECORD = bert_record(layers=2, width=16)
ARRAYS = bert_arrays(RECORD, seed=3)
WITHOUT_POOLER = {name: array for name, array in ARRAYS.items() if not name.startswith("pooler.")}
TEXTS = ["the city", ("the tower", "of the river")]

Writer = Callable[[Path, Arrays], None]


def read_checkpoint(folder: Path, **options: Any) -> Checkpoint:
    return read_checkpoints({"passage": Source(folder)}, **options)["passage"]


def vectors(folder: Path, record: dict[str, Any] = RECORD, arrays: Arrays = ARRAYS, **how: Any) -> np.ndarray:
    """The vectors of a model that is written to the folder first."""
    return Encoder.from_pretrained(write_model(folder, record, arrays, **how), side="passage").encode(TEXTS)


def refused(folder: Path, record: dict[str, Any], arrays: Arrays, weights: Writer | None = None) -> str:
    """The message with which a model is refused."""
    write_model(folder, record, arrays, weights=weights)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    return str(caught.value)


def dpr_record(**changes: Any) -> dict[str, Any]:
    return RECORD | {"model_type": "dpr", "architectures": ["DPRContextEncoder"], "projection_dim": 0} | changes
