"""config.json: what it says, what it leaves out, and what no BERT can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import bert_arrays, write_json, write_model
from smallest_bert import ARRAYS, RECORD, read_checkpoint, refused, vectors

from dpr_tiny_retriever import CheckpointError, Encoder


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return vectors(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, '{"model_type": "bert"', "\ufffd", "[]", "null", '"bert"'])
def test_a_corrupt_configuration_is_named(tmp_path: Path, content: str) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config.json: (not valid JSON|found a \w+; expected a dict)"):
        Encoder.from_pretrained(tmp_path, side="query")


def test_a_configuration_in_another_encoding_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    (tmp_path / "config.json").write_bytes(b'{"model_type": "\xff"}')
    with pytest.raises(CheckpointError, match=r"config.json: not valid JSON"):
        Encoder.from_pretrained(tmp_path, side="query")


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "", None, 3])
def test_another_model_type_is_refused(tmp_path: Path, model_type: object) -> None:
    message = refused(tmp_path, RECORD | {"model_type": model_type}, ARRAYS)
    assert message == f"{tmp_path}/config.json: model_type is {model_type!r}; expected 'bert' or 'dpr'"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "128"}, "hidden_size is '128'; expected a whole number of at least 1"),
        ({"hidden_size": 16.0}, "hidden_size is 16.0; expected a whole number of at least 1"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1; expected a whole number of at least 0"),
        ({"num_attention_heads": -2}, "num_attention_heads is -2; expected a whole number of at least 1"),
        ({"max_position_embeddings": 2}, "max_position_embeddings is 2; expected a whole number of at least 3"),
        ({"vocab_size": None}, "vocab_size is None; expected a whole number of at least 1"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps is '1e-12'; expected a number"),
        ({"layer_norm_eps": -1}, "layer_norm_eps is -1; expected a number of at least 0"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan; expected a number of at least 0"),
        ({"layer_norm_eps": True}, "layer_norm_eps is True; expected a number of at least 0"),
        ({"layer_norm_eps": 10**400}, "layer_norm_eps is 1"),
        (
            {"auto_map": {"AutoModel": "own.Model"}},
            "auto_map names code of the model's own (own.Model), which",
        ),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; expected one of gelu, gelu_new,"),
        ({"hidden_act": ["gelu"]}, "hidden_act is ['gelu']; expected one of gelu, gelu_new,"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'; expected 'absolute'"),
        ({"text_segment": "second"}, "text_segment is 'second'; expected 0 or 1"),
        ({"num_attention_heads": 3}, "hidden_size 16 is no multiple of num_attention_heads 3"),
    ],
)
def test_a_configuration_that_no_bert_can_have_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert f"{tmp_path}/config.json: {message}" in refused(tmp_path, RECORD | changes, ARRAYS)


def test_a_missing_value_is_the_default_of_bert(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    stated = {"hidden_size": 16, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    write_json(tmp_path / "config.json", stated)
    with pytest.raises(
        CheckpointError, match=r"misshapen: embeddings.word_embeddings.weight .*, expected \[30522, 16\]"
    ):
        read_checkpoint(tmp_path)


def test_a_tokenizer_of_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    small = RECORD | {"vocab_size": 20}
    write_model(tmp_path, small, bert_arrays(small))
    message = (
        rf"the tokenizer has {RECORD['vocab_size']} tokens, the word embeddings have 20 rows; expected the tokenizer"
    )
    with pytest.raises(CheckpointError, match=message):
        Encoder.from_pretrained(tmp_path, side="query")


def test_a_vocabulary_may_be_smaller_than_the_embedding_table(tmp_path: Path, expected: np.ndarray) -> None:
    """Many models round the size of their vocabulary up."""
    padded = RECORD | {"vocab_size": 256}
    words = np.zeros((256, 16), np.float32)
    words[: RECORD["vocab_size"]] = ARRAYS["embeddings.word_embeddings.weight"]
    found = vectors(tmp_path, padded, ARRAYS | {"embeddings.word_embeddings.weight": words})
    np.testing.assert_array_equal(found, expected)
