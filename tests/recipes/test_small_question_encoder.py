"""A question encoder is written as a small folder that gives the same vectors, nearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_folders import bert_record, write_model
from safetensors.numpy import load_file
from small_question_encoder import main

from dpr_tiny_retriever import DualEncoder, Encoder

pytestmark = pytest.mark.training


def test_the_small_folder_holds_int8_and_gives_the_same_vectors(tmp_path: Path) -> None:
    pair = DualEncoder.from_pretrained(write_model(tmp_path / "model", bert_record(layers=1, width=32), seed=5))
    pair.save_pretrained(tmp_path / "pair")
    main([str(tmp_path / "pair" / "query_encoder"), str(tmp_path / "small")])
    tensors = load_file(tmp_path / "small" / "model.safetensors")
    assert {tensor.dtype.name for name, tensor in tensors.items() if not name.endswith("_scale")} == {"int8", "float16"}
    questions = ["who keeps the lamp", "where does it stand"]
    small, large = (
        Encoder.from_pretrained(tmp_path / "small", side="query").encode(questions),
        pair.encode_queries(questions),
    )
    cosines = np.sum(small * large, axis=1) / np.linalg.norm(small, axis=1) / np.linalg.norm(large, axis=1)
    assert cosines.min() > 0.999
