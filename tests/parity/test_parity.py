"""The encoder beside transformers' own TensorFlow classes, on models that those classes built and saved.

Their weights are far larger than a new model's, so that every part of the model shows in the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checkpoints import VOCABULARY, write_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import (
    BertConfig,
    BertTokenizerFast,
    DPRConfig,
    TFBertModel,
    TFDPRContextEncoder,
    TFDPRQuestionEncoder,
)

from dpr_tiny_retriever import Encoder

TOLERANCE = 1e-5
MAX_LENGTH = 156

SENTENCE = "who wrote the first text about the river "
PASSAGES = [
    ("The tower", SENTENCE),
    ("The tower", SENTENCE * 3),
    ("The tower", SENTENCE * 8),
    ("The tower", SENTENCE * 40),
    ("", "a plain text without a title"),
    ("", SENTENCE * 40),
    ("äéñ", "中文 日本 Ünïcödé — ß"),
    ("long title " * 60, SENTENCE * 40),
    ("long title " * 60, "short"),
    ("A", "b"),
    ("", "x"),
    ("", ""),
]


@dataclass
class Pair:
    """A model in both implementations, and the tokenizer of the reference."""

    reference: Any
    tokenizer: Any
    encoder: Encoder

    @cached_property
    def expected(self) -> NDArray[np.float32]:
        """The vectors of PASSAGES, one at a time, so that no padding is involved."""
        vectors = []
        for title, text in PASSAGES:
            pair = (title, text) if title else (text,)
            inputs = self.tokenizer(*pair, truncation="longest_first", max_length=MAX_LENGTH, return_tensors="tf")
            vectors.append(self.reference(**inputs).pooler_output.numpy()[0])
        return np.array(vectors)


SIZES = {"vocab_size": len(VOCABULARY), "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}


def bert(layers: int) -> Any:
    return TFBertModel(BertConfig(num_hidden_layers=layers, **SIZES))


def dpr(kind: Any) -> Any:
    # Without a projection: these classes cannot build one.
    return kind(DPRConfig(num_hidden_layers=2, projection_dim=0, **SIZES))


MODELS: dict[str, Callable[[], Any]] = {
    "BERT, 2 layers": lambda: bert(2),
    "BERT, 12 layers": lambda: bert(12),
    "DPR passages": lambda: dpr(TFDPRContextEncoder),
    "DPR queries": lambda: dpr(TFDPRQuestionEncoder),
}


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    directory: Path = tmp_path_factory.mktemp("reference")
    reference = MODELS[request.param]()
    reference(tf.constant([[1, 2]]))
    rng = np.random.default_rng(7)
    reference.set_weights([w + rng.normal(0, 0.05, w.shape).astype(np.float32) for w in reference.get_weights()])
    reference.save_pretrained(directory)
    assert (directory / "tf_model.h5").is_file()
    write_tokenizer(directory)
    tokenizer = BertTokenizerFast.from_pretrained(directory)
    return Pair(reference, tokenizer, Encoder.from_pretrained(directory, side="passage", max_length=MAX_LENGTH))


def test_the_vectors_are_those_of_the_reference(pair: Pair) -> None:
    expected = pair.expected
    assert expected.std(axis=0).max() > 0.1, "the weights must be large enough for the comparison to mean something"
    np.testing.assert_allclose(pair.encoder.encode(PASSAGES), expected, rtol=0, atol=TOLERANCE)


def test_a_padded_batch_of_the_reference_gives_them_too(pair: Pair) -> None:
    titled = [passage for passage in PASSAGES if all(passage)]
    inputs = pair.tokenizer(
        [title for title, _ in titled],
        [text for _, text in titled],
        truncation="longest_first",
        padding="max_length",
        max_length=MAX_LENGTH,
        return_tensors="tf",
    )
    expected = pair.reference(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(pair.encoder.encode(titled), expected, rtol=0, atol=TOLERANCE)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.integers(0, len(PASSAGES) - 1), min_size=1, max_size=20),
    batch_size=st.none() | st.integers(1, 6),
)
def test_no_batch_composition_changes_them(pair: Pair, rows: list[int], batch_size: int | None) -> None:
    found = pair.encoder.encode([PASSAGES[row] for row in rows], batch_size=batch_size)
    np.testing.assert_allclose(found, pair.expected[rows], rtol=0, atol=TOLERANCE)
