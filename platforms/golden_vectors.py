"""Write the file of expected vectors for golden_vectors.c: `python platforms/golden_vectors.py FILE`.

It holds models in the layout that the native library reads, packed for each vector width that this processor has, token
ids, and the vectors that the numpy backend computes for them.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.model.bert_native import NativeBert, fitting_builds
from dpr_tiny_retriever.model.bert_numpy import NumpyBert
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense
from dpr_tiny_retriever.model.native_library import BertStruct, LayerStruct, native_libraries
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

#: Bytes from one array's start to the next are a multiple of this.
ALIGNMENT = 64
VOCABULARY_SIZE = 1000


class GoldenFile:
    """Arrays one after the other, behind a header of fixed size."""

    def __init__(self, header_size: int) -> None:
        self._bytes = bytearray(header_size)

    def add(self, data: bytes) -> int:
        """Append bytes, and return their offset."""
        self._bytes.extend(bytes(-len(self._bytes) % ALIGNMENT))
        self._bytes.extend(data)
        return len(self._bytes) - len(data)

    def write(self, path: Path, header: bytes) -> None:
        """Write the file, with the header at its start."""
        self._bytes[: len(header)] = header
        path.write_bytes(self._bytes)


def main(path: Path) -> None:
    encoder = DualEncoder.from_pretrained(backend="numpy").query_encoder
    config, weights = replace(encoder.config, vocab_size=VOCABULARY_SIZE), with_pooler(encoder.weights)
    configs = [config, replace(config, pooling="cls", normalize=False), replace(config, pooling="pooler")]
    cases = [(one, build) for one in configs for build in fitting_builds(one)]
    golden = GoldenFile(ALIGNMENT + 72 * len(cases))
    records = [record(golden, config, weights, build) for config, build in cases]
    golden.write(path, struct.pack("<Q56x", len(cases)) + b"".join(records))
    print(f"{path}: {len(cases)} cases, {path.stat().st_size / 1e6:.1f} MB")


def record(golden: GoldenFile, config: BertConfig, weights: BertWeights, build: str) -> bytes:
    """Add a model and its texts for one build. Return struct golden of golden_vectors.c."""
    bert = NativeBert(config, weights, build=build)
    texts = some_tokens()
    expected = np.empty((len(texts.lengths), config.embedding_dim), np.float32)
    NumpyBert(config, weights).forward_into(expected, texts)
    arrays = (texts.ids, texts.lengths, texts.segment_starts, expected)
    ids, lengths, starts, vectors = (golden.add(array.tobytes()) for array in arrays)
    lanes, model = native_libraries()[build].lanes, add_model(golden, bert)
    numbers = (lanes, model, len(texts.lengths), ids, len(texts.ids), lengths, starts, vectors, expected.size)
    return struct.pack("<9Q", *numbers)


def add_model(golden: GoldenFile, bert: NativeBert) -> int:
    """Add a model whose pointers are offsets in the file. Return its offset."""
    places = {array.ctypes.data: golden.add(array.tobytes()) for array in bert.arrays}
    layers = (LayerStruct * bert.structure.layer_count)()
    for target, source in zip(layers, bert.structure.layers, strict=False):  # a pointer in C has no end
        copy_placed(target, source, places)
    structure = BertStruct()
    copy_placed(structure, bert.structure, places)
    structure.layers = ctypes.cast(golden.add(bytes(layers)), ctypes.POINTER(LayerStruct))
    return golden.add(bytes(structure))


def copy_placed(target: Any, source: Any, places: dict[int, int]) -> None:
    """Copy the fields of a structure, with pointers replaced by offsets in the file."""
    for name, kind in source._fields_:
        value = getattr(source, name)
        if kind is ctypes.c_void_p:
            setattr(target, name, None if value is None else places[value])
        elif name != "layers":
            setattr(target, name, value)


def with_pooler(weights: BertWeights) -> BertWeights:
    """Return the weights with the first VOCABULARY_SIZE words, and with a random pooler."""
    rng = np.random.default_rng(1)
    width = weights.embeddings.word.shape[1]
    pooler = Dense(rng.normal(0, 0.1, (width, width)).astype(np.float32), np.zeros(width, np.float32))
    embeddings = weights.embeddings._replace(word=weights.embeddings.word[:VOCABULARY_SIZE])
    return weights._replace(embeddings=embeddings, pooler=pooler)


def some_tokens() -> Tokens:
    """Return random token ids in texts of 1 to 156 tokens."""
    lengths = np.array([1, 2, 3, 15, 16, 17, 31, 32, 33, 64, 7, 130, 156], np.int32)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCABULARY_SIZE, lengths.sum()).astype(np.int32)
    return Tokens(ids, lengths, lengths // 3, num_truncated=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
