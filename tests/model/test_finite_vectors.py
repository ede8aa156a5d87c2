"""A vector that is NaN or infinite is an error in every backend, for the text that has it and for no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_folders import VOCABULARY

from dpr_tiny_retriever import CheckpointError, Encoder
from dpr_tiny_retriever.model.config import BertWeights

pytestmark = [pytest.mark.also_modern, pytest.mark.also_sanitize]


def broken(folder: Path, token: str, value: float) -> Encoder:
    """An encoder of arrays, which nothing has checked: this token's embedding is broken, and that of its place."""
    sound = Encoder.from_pretrained(folder, side="passage")
    word = np.array(sound.weights.embeddings.word)
    word[VOCABULARY.index(token)] = value
    weights: BertWeights = sound.weights._replace(embeddings=sound.weights.embeddings._replace(word=word))
    return Encoder(sound.config, weights, sound.tokenizer, max_length=sound.max_length)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_an_error(pair_directory: Path, backend: str, value: float) -> None:
    encoder = broken(pair_directory, "[CLS]", value)
    for texts in (["the river"], ["the river"] * 2000):
        with pytest.raises(CheckpointError, match=r"vectors are not finite: .*; expected the weights as they were"):
            encoder.encode(texts)
    with pytest.raises(CheckpointError, match="vectors are not finite"):
        list(encoder.stream(["the river"] * 5000))


def test_texts_without_the_broken_token_keep_their_vectors(pair_directory: Path, backend: str) -> None:
    sound, encoder = Encoder.from_pretrained(pair_directory, side="passage"), broken(pair_directory, "river", 1e30)
    np.testing.assert_array_equal(encoder.encode(["the tower"]), sound.encode(["the tower"]))
