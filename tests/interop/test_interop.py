"""What is read and written here, beside sentence-transformers and transformers on PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import bert_arrays, bert_record, write_model, write_pair
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from dpr_tiny_retriever import DualEncoder, Encoder

TEXTS = [
    "How do bees find their way home?",
    "x",
    "Ünïcödé — 中文, and a naïve café",
    "a longer text about rivers, cities and towers that says the same again " * 40,
]
TITLED = [("The river", "what the text is about"), ("A title of some words " * 30, "words of the text " * 60)]


def with_sentence_transformers(folder: Path, texts: list[Any]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = SentenceTransformer(str(folder), device="cpu").encode(texts)
    return vectors


def hidden_states(folder: Path, inputs: list[Any], max_length: int) -> list[Any]:
    """Each input alone through AutoTokenizer and AutoModel: the model's outputs."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    outputs = []
    for text in inputs:
        parts = text if isinstance(text, tuple) else (text,)
        with torch.no_grad():
            outputs.append(
                model(**tokenizer(*parts, truncation="longest_first", max_length=max_length, return_tensors="pt"))
            )
    return outputs


def saved_with_projection(folder: Path) -> None:
    """A DPR model with a projection, read in its own naming and saved in ours."""
    record = bert_record(model_type="dpr", projection_dim=48)
    arrays = bert_arrays(record, pooler=False)
    named = {f"ctx_encoder.bert_model.{name}": array for name, array in arrays.items()}
    rng = np.random.default_rng(3)
    named["ctx_encoder.encode_proj.weight"] = rng.normal(0, 0.2, (48, 128)).astype(np.float32)
    named["ctx_encoder.encode_proj.bias"] = rng.normal(0, 0.2, 48).astype(np.float32)
    Encoder.from_pretrained(write_model(folder / "dpr", record, named), side="passage").save_pretrained(
        folder / "saved"
    )


def saved_with(pooling: Any, normalize: bool) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        pair = write_pair(folder / "pair")
        encoder = Encoder.from_pretrained(pair, side="passage", pooling=pooling, normalize=normalize)
        encoder.save_pretrained(folder / "saved")

    return save


FORMS: dict[str, Callable[[Path], None]] = {
    "pooler": saved_with("pooler", False),
    "pooler, unit length": saved_with("pooler", True),
    "cls": saved_with("cls", False),
    "mean, unit length": saved_with("mean", True),
    "projection": saved_with_projection,
}


def test_minilm_gives_the_vectors_of_its_own_library(minilm_directory: Path) -> None:
    encoder = DualEncoder.from_pretrained(minilm_directory)
    expected = with_sentence_transformers(minilm_directory, TEXTS)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_passages(TEXTS), expected, rtol=0, atol=1e-4)


def test_minilm_saved_here_loads_there(minilm_directory: Path, tmp_path: Path) -> None:
    encoder = DualEncoder.from_pretrained(minilm_directory)
    encoder.save_pretrained(tmp_path / "pair")
    for side, vectors in (
        ("query_encoder", encoder.encode_queries(TEXTS)),
        ("passage_encoder", encoder.encode_passages(TEXTS)),
    ):
        folder = tmp_path / "pair" / side
        np.testing.assert_allclose(with_sentence_transformers(folder, TEXTS), vectors, rtol=0, atol=1e-4)
        means = [output.last_hidden_state.mean(1).numpy()[0] for output in hidden_states(folder, TEXTS, 256)]
        unit = np.array([mean / np.linalg.norm(mean) for mean in means])
        np.testing.assert_allclose(unit, vectors, rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_saved_gives_equal_vectors_in_sentence_transformers(form: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path)
    encoder = Encoder.from_pretrained(tmp_path / "saved", side="passage")
    inputs = [*TEXTS, *TITLED]
    expected = encoder.encode(inputs)
    found = np.concatenate(
        [
            with_sentence_transformers(tmp_path / "saved", TEXTS),
            with_sentence_transformers(tmp_path / "saved", [list(pair) for pair in TITLED]),
        ]
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_the_pooler_is_transformers_own(tmp_path: Path) -> None:
    FORMS["pooler"](tmp_path)
    inputs = [*TEXTS, *TITLED]
    expected = Encoder.from_pretrained(tmp_path / "saved", side="passage").encode(inputs)
    found = [output.pooler_output.numpy()[0] for output in hidden_states(tmp_path / "saved", inputs, 156)]
    np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=1e-4)


def test_a_model_without_title_segments_tokenises_so_there_too(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", bert_record(text_segment=0))
    Encoder.from_pretrained(folder, side="passage").save_pretrained(tmp_path / "saved")
    tokens = AutoTokenizer.from_pretrained(tmp_path / "saved")(*TITLED[0])
    assert not any(tokens.get("token_type_ids", []))
    expected = Encoder.from_pretrained(folder, side="passage").encode(TITLED)
    found = [output.pooler_output.numpy()[0] for output in hidden_states(tmp_path / "saved", TITLED, 156)]
    np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=1e-4)
