"""Our vectors equal those of transformers' own TensorFlow classes, which wrote the published models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import bert_arrays, bert_record
from reference_models import (
    bert,
    random_bert,
    random_dpr,
    save,
    vector,
)
from safetensors.numpy import load_file
from transformers import TFBertForMaskedLM, TFBertForPreTraining

from dpr_tiny_retriever import DualEncoder, Encoder

pytestmark = pytest.mark.parity

TEXTS = [
    ("", "who wrote the first text"),
    ("the tower", "a tower of the city in the river"),
    ("", ""),
    ("river", ""),
    ("   ", "a title of blanks is none"),
    ("Ärger in Besançon", "Übergröße, naïveté; 日本語 и кириллица 🗼 e\u0301"),
    ("the city " * 100, "the title is longer than what is kept"),
    ("city", "the text is longer than what is kept " * 50),
    ("the city " * 100, "both are longer than what is kept " * 50),
    ("", "a text without a title is longer than what is kept " * 50),
    ("", "[SEP] [CLS] [MASK] written out"),
    ("tabs\tand\nlines", "nothing\u200bwide\u00a0and\x00null"),
    ("", "x" * 500),
    *(("title " * (n % 5), "the river of the city " * n) for n in range(30)),
]
LENGTHS = {"query": 64, "passage": 156}


class Case(NamedTuple):
    """A saved model, the model itself, and its vectors of TEXTS, each computed alone."""

    folder: Path
    model: Any
    expected: np.ndarray
    encoder: Encoder


KINDS = {
    "BERT of 2 layers": (lambda: random_bert(layers=2, seed=1), "passage"),
    "BERT of 12 layers": (lambda: random_bert(layers=12, seed=2), "passage"),
    "DPR question encoder": (lambda: random_dpr("query", projection=0, seed=3), "query"),
    "DPR context encoder": (lambda: random_dpr("passage", projection=0, seed=4), "passage"),
    "DPR question encoder, projected": (lambda: random_dpr("query", projection=48, seed=5), "query"),
    "DPR context encoder, projected": (lambda: random_dpr("passage", projection=48, seed=6), "passage"),
}


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Case]:
    make, side = KINDS[request.param]
    model = make()
    folder = save(model, tmp_path_factory.mktemp("model"))
    assert (folder / "tf_model.h5").is_file()
    assert not (folder / "model.safetensors").exists()
    expected = np.stack([vector(model, folder, title, text, LENGTHS[side]) for title, text in TEXTS])
    return request.param, Case(folder, model, expected, Encoder.from_pretrained(folder, side=side))


def agree(found: np.ndarray, expected: np.ndarray, what: str, figures: dict[str, float]) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == np.float32
    difference = float(np.abs(found - expected).max(initial=0))
    figures[what] = max(difference, figures.get(what, 0))
    assert difference <= 1e-5


def test_vectors_equal_over_lengths_titles_unicode_and_cuts(case: tuple[str, Case], figures: dict[str, float]) -> None:
    what, (_, _, expected, encoder) = case
    agree(encoder.encode(TEXTS), expected, what, figures)
    assert expected.std() > 0.1  # else everything would be equal to everything


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_vectors_equal_in_every_composition_of_batches(
    case: tuple[str, Case], figures: dict[str, float], data: st.DataObject
) -> None:
    what, (_, _, expected, encoder) = case
    chosen = data.draw(st.lists(st.integers(0, len(TEXTS) - 1), max_size=40))
    size = data.draw(st.none() | st.integers(1, 41))
    agree(
        encoder.encode([TEXTS[row] for row in chosen], batch_size=size), expected[chosen], f"{what}, batches", figures
    )


@pytest.mark.parametrize("max_length", [3, 4, 17, 512])
def test_vectors_equal_at_any_length(case: tuple[str, Case], figures: dict[str, float], max_length: int) -> None:
    what, (folder, model, _, encoder) = case
    some = TEXTS[:13:2]
    expected = np.stack([vector(model, folder, title, text, max_length) for title, text in some])
    agree(encoder.with_max_length(max_length).encode(some), expected, f"{what}, cut at {max_length}", figures)


def test_vectors_equal_with_one_segment_for_title_and_text(
    case: tuple[str, Case], figures: dict[str, float], tmp_path: Path
) -> None:
    """As facebookresearch/DPR trained: all segment ids are zero."""
    what, (folder, model, other, encoder) = case
    expected = np.stack([vector(model, folder, title, text, 64, text_segment=0) for title, text in TEXTS])
    Encoder(encoder.config, encoder.weights, encoder.tokenizer, max_length=64).save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text().replace('"text_segment": 1', '"text_segment": 0')
    (tmp_path / "config.json").write_text(config)
    agree(Encoder.from_pretrained(tmp_path, side="query").encode(TEXTS), expected, f"{what}, one segment", figures)
    assert not np.allclose(expected, other, atol=1e-3)


def test_a_pair_of_two_published_forms_is_loaded_as_one(tmp_path: Path, figures: dict[str, float]) -> None:
    sides = {side: random_dpr(side, projection=48, seed=7 + len(side)) for side in ("query", "passage")}
    for side, model in sides.items():
        save(model, tmp_path / f"{side}_encoder")
    pair = DualEncoder.from_pretrained(tmp_path)
    queries = [text for _, text in TEXTS]
    wanted = [vector(sides["query"], tmp_path / "query_encoder", "", text, 64) for text in queries]
    agree(pair.encode_queries(queries), np.stack(wanted), "DPR pair, queries", figures)
    wanted = [vector(sides["passage"], tmp_path / "passage_encoder", title, text, 156) for title, text in TEXTS]
    agree(pair.encode_passages(TEXTS), np.stack(wanted), "DPR pair, passages", figures)


@pytest.mark.parametrize("kind", [TFBertForPreTraining, TFBertForMaskedLM])
def test_models_with_heads_of_pretraining_are_read_without_them(
    tmp_path: Path, figures: dict[str, float], kind: Any
) -> None:
    model = random_bert(layers=2, seed=8, kind=kind)
    folder = save(model, tmp_path)
    encoder = Encoder.from_pretrained(folder, side="passage")
    pooling = "cls" if kind is TFBertForMaskedLM else "pooler"  # the one has no pooler
    assert encoder.config.pooling == pooling
    expected = np.stack([vector(model.bert, folder, title, text, 156, pooling=pooling) for title, text in TEXTS])
    agree(encoder.encode(TEXTS), expected, kind.__name__, figures)


def test_safetensors_with_tensorflows_names_is_read(tmp_path: Path, figures: dict[str, float]) -> None:
    model = random_bert(layers=2, seed=9)
    folder = save(model, tmp_path, safe_serialization=True)
    assert not (folder / "tf_model.h5").exists()
    expected = np.stack([vector(model, folder, title, text, 156) for title, text in TEXTS])
    agree(Encoder.from_pretrained(folder, side="passage").encode(TEXTS), expected, "TF names in safetensors", figures)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu"])
def test_the_activation_is_the_configured_one(tmp_path: Path, figures: dict[str, float], activation: str) -> None:
    record = bert_record(hidden_act=activation)
    model = bert(record, bert_arrays(record, seed=10))
    folder = save(model, tmp_path)
    expected = np.stack([vector(model, folder, title, text, 64) for title, text in TEXTS])
    found = Encoder.from_pretrained(folder, side="query").encode(TEXTS)
    agree(found, expected, f"activation {activation}", figures)


def test_a_real_model_equals_the_reference(minilm_directory: Path, tmp_path: Path, figures: dict[str, float]) -> None:
    """all-MiniLM-L6-v2: six layers, 384 wide, trained by others; the mean of its tokens, of unit length."""
    record = json.loads((minilm_directory / "config.json").read_text())
    model = bert(record, load_file(minilm_directory / "model.safetensors"))
    means = [vector(model, minilm_directory, title, text, 256, pooling="mean") for title, text in TEXTS]
    expected = np.stack([mean / np.linalg.norm(mean) for mean in means])
    agree(Encoder.from_pretrained(minilm_directory, side="passage").encode(TEXTS), expected, "MiniLM", figures)
