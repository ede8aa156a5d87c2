"""Small models and texts for the tests of the native backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from model_folders import bert_arrays, bert_record, write_model

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.model.bert_native import NativeBert
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.native_library import available_builds
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import Vectors

BUILDS = available_builds()
LANES = {"avx512": 16, "avx2": 8, "base": 4}


def tokens(*lengths: int) -> Tokens:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 100, sum(lengths)).astype(np.int32)
    return Tokens(ids, np.array(lengths, np.int32), np.array(lengths, np.int32) // 3, num_truncated=0)


def model(folder: Path, *, pooling: Any = None, **changes: Any) -> tuple[BertConfig, BertWeights]:
    record = bert_record(**changes)
    encoder = Encoder.from_pretrained(
        write_model(folder, record, bert_arrays(record)), side="passage", pooling=pooling, backend="numpy"
    )
    return encoder.config, encoder.weights


def native(small: tuple[BertConfig, BertWeights], build: str) -> NativeBert:
    config, weights = small
    return NativeBert(config, weights, build=build)


def vectors_of(bert: NativeBert | NumpyBert, texts: Tokens, dim: int = 128) -> Vectors:
    """Vectors [n, dim] of texts."""
    vectors = np.empty((len(texts.lengths), dim), np.float32)
    bert.forward_into(vectors, texts)
    return vectors
