"""The trained models besides the default pair: bundled-L12, and the repository's query encoder for all-MiniLM-L6-v2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, __version__
from dpr_tiny_retriever.checkpoints.bundled_pairs import BUNDLED

pytestmark = pytest.mark.also_lowest

RELEASE = ".".join(__version__.split(".")[:2])
MINILM_QUESTIONS = Path(__file__).parents[2] / "encoders" / "minilm-questions"
PASSAGES = [
    ("Photosynthesis", "Plants turn light, water and carbon dioxide into sugar."),
    ("Espresso", "Hot water is pressed through finely ground coffee at about nine bar."),
    ("Magna Carta", "In 1215 the barons of England made King John put his seal to it."),
]
QUERIES = ["how is coffee made", "which king sealed a charter", "how do plants make sugar"]
ANSWERS = [1, 2, 0]


def test_the_pair_of_12_layers_finds_the_passages() -> None:
    pair = DualEncoder.from_pretrained("bundled-L12")
    assert pair.query_encoder.weights is pair.passage_encoder.weights
    config = pair.passage_encoder.config
    assert (config.num_hidden_layers, config.hidden_size, pair.embedding_dim, pair.normalize) == (12, 128, 128, True)
    scores = pair.encode_queries(QUERIES) @ pair.encode_passages(PASSAGES).T
    assert scores.argmax(axis=1).tolist() == ANSWERS
    assert pair.stamp.model == f"bundled-L12@{RELEASE}"
    assert pair.settings()["model"] == f"bundled-L12@{RELEASE}"
    assert DualEncoder.from_pretrained(f"bundled-L12@{RELEASE}").fingerprint() == pair.fingerprint()


def test_the_bundled_pairs_take_at_most_16_megabytes() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < 16e6


def test_fast_questions_find_the_passages_of_minilm(minilm_directory: Path) -> None:
    pair = DualEncoder.from_pretrained(query_model=MINILM_QUESTIONS, passage_model=minilm_directory)
    minilm = DualEncoder.from_pretrained(minilm_directory)
    passages = pair.encode_passages(PASSAGES)
    np.testing.assert_array_equal(passages, minilm.encode_passages(PASSAGES))
    questions = pair.encode_queries(QUERIES)
    assert (questions @ passages.T).argmax(axis=1).tolist() == ANSWERS
    assert np.sum(questions * minilm.encode_queries(QUERIES), axis=1).min() > 0.5
    assert pair.stamp == minilm.stamp  # an index of MiniLM's takes them
