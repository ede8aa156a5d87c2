"""Vectors are BERT's: equal to a plain numpy implementation of the paper, over everything a model may vary in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_bert
from model_folders import bert_arrays, bert_record, write_model
from numpy.typing import NDArray
from tokenizers import Tokenizer

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.model.native_library import native_libraries

pytestmark = [pytest.mark.also_modern, pytest.mark.also_sanitize]

#: By which each build of the native library divides heads and inner widths.
PANELS = {f"native:{build}": library.panel for build, library in native_libraries().items()}


def reference(
    folder: Path, record: dict[str, Any], arrays: dict[str, Any], texts: list[tuple[str, str]], **how: Any
) -> NDArray[np.float64]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(64, strategy="longest_first")
    encodings = [tokenizer.encode(title, text) if title.strip() else tokenizer.encode(text) for title, text in texts]
    return np.stack([reference_bert.encode(record, arrays, one.ids, one.type_ids, **how) for one in encodings])


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, {"pooling": "pooler"}),
        ({}, {"pooling": "cls"}),
        ({}, {"pooling": "mean"}),
        ({}, {"pooling": "pooler", "normalize": True}),
        ({}, {"pooling": "mean", "normalize": True}),
        ({"layers": 1}, {"pooling": "cls"}),
        ({"layers": 1}, {"pooling": "mean"}),
        ({"layers": 12, "width": 32}, {"pooling": "pooler"}),
        ({"layers": 3, "width": 192, "heads": 3}, {"pooling": "pooler"}),
        ({"width": 48, "heads": 3, "intermediate_size": 100}, {"pooling": "mean"}),
        ({"width": 32, "heads": 1}, {"pooling": "cls"}),
        ({"width": 64, "hidden_act": "gelu_new"}, {"pooling": "cls"}),
        ({"width": 64, "hidden_act": "gelu_pytorch_tanh"}, {"pooling": "cls"}),
        ({"width": 64, "hidden_act": "swish"}, {"pooling": "cls"}),
        ({"width": 64, "hidden_act": "relu"}, {"pooling": "cls"}),
        ({"width": 64, "hidden_act": "silu"}, {"pooling": "cls"}),
        ({"width": 64, "hidden_act": "tanh"}, {"pooling": "cls"}),
        ({"width": 64, "layer_norm_eps": 1e-1}, {"pooling": "cls"}),
        ({"width": 64, "max_position_embeddings": 64}, {"pooling": "pooler"}),
        ({"width": 64, "type_vocab_size": 3}, {"pooling": "pooler"}),
    ],
)
def test_vectors_equal_the_papers(
    tmp_path: Path, texts: list[tuple[str, str]], backend: str, changes: dict[str, Any], how: dict[str, Any]
) -> None:
    record = bert_record(**changes)
    arrays = bert_arrays(record, seed=1)
    write_model(tmp_path, record, arrays)
    panel = PANELS.get(backend, 1)
    if record["hidden_size"] // record["num_attention_heads"] % panel or record["intermediate_size"] % panel:
        with pytest.raises(ValueError, match="does not fit the native library"):
            Encoder.from_pretrained(tmp_path, side="passage", **how)
        return
    encoder = Encoder.from_pretrained(tmp_path, side="passage", max_length=64, **how)
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), encoder.embedding_dim) == (len(texts), record["hidden_size"])
    np.testing.assert_allclose(vectors, reference(tmp_path, record, arrays, texts, **how), rtol=0, atol=1e-5)
    assert encoder.normalize == how.get("normalize", False)
    if encoder.normalize:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_weights_matter_everywhere(tmp_path: Path) -> None:
    """A tensor that nothing depends on would make the comparison above pass for nothing."""
    record = bert_record(width=32)
    arrays = bert_arrays(record)
    texts = [("the tower", "of the city")]
    before = reference(write_model(tmp_path, record, arrays), record, arrays, texts, pooling="pooler")
    for name, array in arrays.items():
        if name.endswith("self.key.bias"):  # adds the same to all scores of a position: the softmax forgets it
            continue
        changed = arrays | {name: array + np.random.default_rng(0).normal(size=array.shape)}
        after = reference(tmp_path, record, changed, texts, pooling="pooler")
        assert np.abs(after - before).max() > 1e-3, name


@pytest.mark.usefixtures("backend")
def test_a_model_of_one_segment_takes_titles(tmp_path: Path, texts: list[tuple[str, str]]) -> None:
    record = bert_record(width=64, type_vocab_size=1)
    arrays = bert_arrays(record)
    vectors = Encoder.from_pretrained(write_model(tmp_path, record, arrays), side="passage", max_length=64).encode(
        texts
    )
    two = arrays | {
        "embeddings.token_type_embeddings.weight": np.repeat(arrays["embeddings.token_type_embeddings.weight"], 2, 0)
    }
    np.testing.assert_allclose(vectors, reference(tmp_path, record, two, texts, pooling="pooler"), rtol=0, atol=1e-5)
