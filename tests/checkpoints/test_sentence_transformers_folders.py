"""Folders of sentence-transformers, in the form of every version: pooling, dense modules, length, similarity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import write_json, write_model
from safetensors.numpy import save_file
from sentence_transformers_folder import (
    ARRAYS,
    EARLY_FLAGS,
    IDENTITY,
    RECORD,
    TANH,
    TEXTS,
    load,
    write_dense,
    write_modules,
)

from dpr_tiny_retriever import CheckpointError, DualEncoder


def pooled(tmp_path: Path, pooling: Any) -> np.ndarray:
    """The vectors of the same model as a plain folder."""
    return load(write_model(tmp_path / f"plain {pooling}", RECORD, ARRAYS), pooling=pooling).encode(TEXTS)


@pytest.mark.parametrize(
    "config",
    [
        EARLY_FLAGS | {"pooling_mode_mean_tokens": True},
        EARLY_FLAGS
        | {"pooling_mode_mean_tokens": True, "pooling_mode_weightedmean_tokens": False, "include_prompt": True},
        {"embedding_dimension": 16, "pooling_mode": "mean", "include_prompt": True},
        {"embedding_dimension": 16, "pooling_mode": ["mean"]},
    ],
)
def test_mean_pooling_is_read_in_every_form(tmp_path: Path, config: dict[str, Any]) -> None:
    write_modules(tmp_path / "st", "Transformer", "Pooling")
    write_json(tmp_path / "st" / "1_Pooling" / "config.json", config)
    np.testing.assert_array_equal(load(tmp_path / "st").encode(TEXTS), pooled(tmp_path, "mean"))


@pytest.mark.parametrize("config", [EARLY_FLAGS | {"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}])
def test_cls_pooling_is_the_raw_token_although_there_is_a_pooler(tmp_path: Path, config: dict[str, Any]) -> None:
    write_modules(tmp_path / "st", "Transformer", "Pooling")
    write_json(tmp_path / "st" / "1_Pooling" / "config.json", config)
    np.testing.assert_array_equal(load(tmp_path / "st").encode(TEXTS), pooled(tmp_path, "cls"))


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (EARLY_FLAGS | {"pooling_mode_max_tokens": True}, "['pooling_mode_max_tokens']"),
        (EARLY_FLAGS | {"pooling_mode_mean_sqrt_len_tokens": True}, "['pooling_mode_mean_sqrt_len_tokens']"),
        (EARLY_FLAGS | {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "['cls', 'mean']"),
        (EARLY_FLAGS, "[]"),
        ({"pooling_mode": "lasttoken"}, "'lasttoken'"),
        ({"pooling_mode": ["cls", "mean"]}, "['cls', 'mean']"),
        ({"pooling_mode": 3}, "3"),
    ],
)
def test_another_pooling_is_refused(tmp_path: Path, config: dict[str, Any], found: str) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    write_json(tmp_path / "1_Pooling" / "config.json", config)
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}/1_Pooling/config.json: the pooling is {found}; expected 'cls' or 'mean'"


def test_the_module_classes_may_live_anywhere(tmp_path: Path) -> None:
    write_modules(
        tmp_path / "st", "Transformer", "Pooling", "Normalize", package="sentence_transformers.base.modules.some"
    )
    encoder = load(tmp_path / "st")
    assert encoder.normalize
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(TEXTS), axis=1), 1, atol=1e-6)


def test_a_tanh_dense_after_cls_is_the_pooler(tmp_path: Path) -> None:
    weight, bias = write_dense(write_modules(tmp_path, "Transformer", "Pooling", "Dense") / "2_Dense", TANH)
    encoder = load(tmp_path)
    assert encoder.config.pooling == "pooler"
    expected = np.tanh(pooled(tmp_path, "cls") @ weight.T + bias)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("bias", [True, False])
def test_an_identity_dense_is_a_projection(tmp_path: Path, pooling: str, bias: bool) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense", "Normalize")
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": pooling})
    weight, offset = write_dense(tmp_path / "2_Dense", IDENTITY, width=5, bias=bias)
    encoder = load(tmp_path)
    projected = pooled(tmp_path, pooling) @ weight.T + offset
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    assert encoder.embedding_dim == 5
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, rtol=0, atol=1e-5)


def test_pooler_and_projection_may_follow_each_other(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense", "Dense")
    pooler = write_dense(tmp_path / "2_Dense", TANH)
    projection = write_dense(tmp_path / "3_Dense", IDENTITY, width=5, seed=1)
    hidden = np.tanh(pooled(tmp_path, "cls") @ pooler[0].T + pooler[1])
    expected = hidden @ projection[0].T + projection[1]
    np.testing.assert_allclose(load(tmp_path).encode(TEXTS), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer", "Pooling", "Normalize", "Dense"),
        ("Transformer", "Pooling", "LayerNorm"),
        ("Transformer", "Dense", "Pooling"),
        ("WordEmbeddings", "Pooling"),
        ("Transformer",),
    ],
)
def test_modules_that_this_encoder_does_not_compute_are_refused(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    write_modules(tmp_path, *kinds)
    with pytest.raises(
        CheckpointError, match=rf"found the modules {', '.join(kinds)}; expected Transformer and Pooling"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [(IDENTITY, TANH), (IDENTITY, IDENTITY), (TANH, TANH), ("torch.nn.modules.activation.ReLU", IDENTITY)],
)
def test_dense_modules_in_another_order_are_refused(tmp_path: Path, first: str, second: str) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense", "Dense")
    write_dense(tmp_path / "2_Dense", first)
    write_dense(tmp_path / "3_Dense", second)
    with pytest.raises(CheckpointError, match=r"_Dense: a Dense module with .* expected at most one with .*Tanh"):
        load(tmp_path)


def test_a_tanh_after_a_mean_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense")
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    write_dense(tmp_path / "2_Dense", TANH)
    with pytest.raises(CheckpointError, match=r"a Dense module with .*Tanh after mean pooling"):
        load(tmp_path)


def test_a_residual_dense_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense")
    write_dense(tmp_path / "2_Dense", IDENTITY, use_residual=True)
    with pytest.raises(CheckpointError, match=r"2_Dense/config.json: use_residual is set"):
        load(tmp_path)


def test_a_dense_module_without_its_weights_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense")
    write_dense(tmp_path / "2_Dense", IDENTITY)
    weights = tmp_path / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"2_Dense/model.safetensors: truncated or corrupt"):
        load(tmp_path)
    save_file({"weight": np.zeros((2, 2), np.float32)}, str(weights))
    with pytest.raises(CheckpointError, match=r"found weight; expected linear.weight and linear.bias"):
        load(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"2_Dense has no model.safetensors"):
        load(tmp_path)


def test_a_dense_module_of_another_width_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Dense")
    write_dense(tmp_path / "2_Dense", TANH, width=8)
    with pytest.raises(CheckpointError, match=r"misshapen: pooler.dense.weight \[8, 16\], expected \[16, 16\]"):
        load(tmp_path)


def test_arguments_replace_pooling_and_normalization(tmp_path: Path) -> None:
    write_modules(tmp_path / "st", "Transformer", "Pooling", "Normalize")
    overruled = load(tmp_path / "st", pooling="mean", normalize=False)
    assert not overruled.normalize
    np.testing.assert_array_equal(overruled.encode(TEXTS), pooled(tmp_path, "mean"))


@pytest.mark.parametrize(
    ("own", "tokenizer", "expected"),
    [
        ({"max_seq_length": 40, "do_lower_case": False}, {"model_max_length": 512}, 40),
        ({"max_seq_length": None}, {"model_max_length": 50}, 50),
        ({"transformer_task": "feature-extraction"}, {"model_max_length": 60}, 60),
        (None, {"model_max_length": 70}, 70),
        (None, {"model_max_length": int(1e30)}, 512),
        ({"max_seq_length": 900}, {}, 512),
    ],
)
def test_the_length_is_that_of_sentence_transformers(
    tmp_path: Path, own: dict[str, Any] | None, tokenizer: dict[str, Any], expected: int
) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    if own is not None:
        write_json(tmp_path / "sentence_bert_config.json", own)
    write_json(tmp_path / "tokenizer_config.json", tokenizer)
    pair = DualEncoder.from_pretrained(tmp_path)
    assert pair.query_encoder.max_length == pair.passage_encoder.max_length == expected
    assert DualEncoder.from_pretrained(tmp_path, max_query_length=9).query_encoder.max_length == 9


def test_a_folder_that_states_no_length_takes_the_usual_ones(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    pair = DualEncoder.from_pretrained(tmp_path)
    assert (pair.query_encoder.max_length, pair.passage_encoder.max_length) == (64, 156)


def test_a_plain_model_does_not_take_the_tokenizers_length(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS)
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 512})
    assert load(tmp_path).max_length == 156


@pytest.mark.parametrize(
    ("stated", "similarity"),
    [({"similarity_fn_name": "dot"}, "dot"), ({"similarity_fn_name": None}, "cosine"), ({}, "cosine")],
)
def test_the_similarity_is_the_stated_one_else_cosine(tmp_path: Path, stated: dict[str, Any], similarity: str) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    write_json(tmp_path / "config_sentence_transformers.json", stated)
    assert load(tmp_path).similarity == similarity


def test_another_similarity_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    write_json(tmp_path / "config_sentence_transformers.json", {"similarity_fn_name": "euclidean"})
    with pytest.raises(CheckpointError, match="similarity_fn_name is 'euclidean'; expected 'dot' or 'cosine'"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", "{}", "found a dict; expected a list"),
        ("modules.json", "[", "not valid JSON"),
        ("modules.json", "[3]", "found 3; expected a record with type and path"),
        ("modules.json", "[]", r"found the modules \(none\)"),
        ("1_Pooling/config.json", "[]", "found a list; expected a dict"),
        ("sentence_bert_config.json", '{"max_seq_length": "long"}', "max_seq_length is 'long'; expected a number"),
        ("config_sentence_transformers.json", "{", "not valid JSON"),
    ],
)
def test_corrupt_settings_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=f"{name}: {message}"):
        load(tmp_path)


def test_a_missing_pooling_is_named(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    (tmp_path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"1_Pooling/config.json is missing"):
        load(tmp_path)


def test_a_real_model_is_read_with_all_it_says(minilm_directory: Path) -> None:
    minilm = DualEncoder.from_pretrained(minilm_directory)
    assert (minilm.embedding_dim, minilm.similarity, minilm.normalize) == (384, "cosine", True)
    assert (minilm.query_encoder.max_length, minilm.query_encoder.config.pooling) == (256, "mean")
    passages = [
        ("Photosynthesis", "Plants turn light, water and carbon dioxide into sugar."),
        ("Espresso", "Hot water is pressed through finely ground coffee at about nine bar."),
        ("Magna Carta", "In 1215 the barons of England made King John put his seal to it."),
    ]
    queries = ["how is coffee made", "which king sealed a charter", "how do plants make sugar"]
    scores = minilm.encode_queries(queries) @ minilm.encode_passages(passages).T
    assert scores.argmax(axis=1).tolist() == [1, 2, 0]
