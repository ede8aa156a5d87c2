"""model.safetensors and tf_model.h5, in every form that wrappers have left them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from model_folders import Arrays, bert_arrays, write_h5, write_model, write_safetensors
from smallest_bert import ARRAYS, RECORD, TEXTS, WITHOUT_POOLER, dpr_record, read_checkpoint, vectors

from dpr_tiny_retriever import CheckpointError, Encoder
from dpr_tiny_retriever.checkpoints.weights import quantize_rows

pytestmark = pytest.mark.also_lowest


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = write_model(tmp_path_factory.mktemp("plain"), RECORD, ARRAYS)
    return Encoder.from_pretrained(folder, side="passage").encode(TEXTS)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "bert/",
        "bert/tf_bert_model_1/bert/",
        "bert/tf_bert_for_pre_training/bert/",
        "tf_bert_model/bert/",
        "encoder/tf_bert_model_7/bert/",
        "ctx_encoder/tfdpr_context_encoder/ctx_encoder/bert_model/",
        "question_encoder/tfdpr_question_encoder/question_encoder/bert_model/",
        "passage_model/layer_0/embeddings_of/bert/",
    ],
)
def test_h5_is_read_under_any_wrapper(tmp_path: Path, expected: np.ndarray, prefix: str) -> None:
    found = vectors(tmp_path, weights=lambda folder, arrays: write_h5(folder, arrays, prefix))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("prefix", ["", "bert.", "model.bert.", "0.auto_model.", "ctx_encoder.bert_model."])
def test_safetensors_is_read_under_any_wrapper(tmp_path: Path, expected: np.ndarray, prefix: str) -> None:
    found = vectors(tmp_path, weights=lambda folder, arrays: write_safetensors(folder, arrays, prefix))
    np.testing.assert_array_equal(found, expected)


def test_layer_norms_may_have_their_old_names(tmp_path: Path, expected: np.ndarray) -> None:
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in ARRAYS.items()
    }
    np.testing.assert_array_equal(vectors(tmp_path, arrays=old), expected)


def test_safetensors_is_taken_before_h5(tmp_path: Path, expected: np.ndarray) -> None:
    def both(folder: Path, arrays: Arrays) -> None:
        write_safetensors(folder, arrays)
        write_h5(folder, bert_arrays(RECORD, seed=4))

    np.testing.assert_array_equal(vectors(tmp_path, weights=both), expected)


def bfloat16(array: np.ndarray) -> np.ndarray:
    """Round to the nearest value that the upper 16 bits of a float32 can hold."""
    bits = array.astype("<f4").view("<u4")
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


@pytest.mark.parametrize(
    ("kind", "stored", "meant"),
    [
        ("F16", lambda a: a.astype("<f2"), lambda a: a.astype(np.float16).astype(np.float32)),
        ("F64", lambda a: a.astype("<f8"), lambda a: a),
        ("BF16", lambda a: bfloat16(a).astype("<u2"), lambda a: (bfloat16(a) << 16).view(np.float32)),
    ],
)
def test_other_precisions_are_read_exactly(
    tmp_path: Path, kind: str, stored: Callable[[np.ndarray], np.ndarray], meant: Callable[[np.ndarray], np.ndarray]
) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        header, data = {}, b""
        for name, array in arrays.items():
            begin, data = len(data), data + stored(array).tobytes()
            header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [begin, len(data)]}
        described = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(described).to_bytes(8, "little") + described + data)

    exact = {name: meant(array) for name, array in ARRAYS.items()}
    np.testing.assert_array_equal(vectors(tmp_path / "a", weights=write), vectors(tmp_path / "b", arrays=exact))


WORDS = "embeddings.word_embeddings.weight"


def test_a_matrix_in_int8_is_multiplied_by_the_scales_of_its_rows(tmp_path: Path) -> None:
    numbers, scales = quantize_rows(ARRAYS[WORDS])
    stored: Any = ARRAYS | {WORDS: numbers, f"{WORDS}_scale": scales}
    meant = ARRAYS | {WORDS: numbers.astype(np.float32) * scales.astype(np.float32)}
    assert np.abs(numbers).max() <= 127
    assert (np.abs(meant[WORDS] - ARRAYS[WORDS]) <= scales.astype(np.float32) / 2).all()
    np.testing.assert_array_equal(vectors(tmp_path / "a", arrays=stored), vectors(tmp_path / "b", arrays=meant))


@pytest.mark.parametrize(
    ("scales", "found"),
    [({}, "no such tensor"), ({f"{WORDS}_scale": np.ones((1, 16), np.float32)}, r"the shape \[1, 16\]")],
)
def test_int8_without_a_scale_for_each_row_is_refused(tmp_path: Path, scales: Arrays, found: str) -> None:
    arrays: Any = ARRAYS | {WORDS: ARRAYS[WORDS].astype(np.int8)} | scales
    write_model(tmp_path, RECORD, arrays)
    with pytest.raises(
        CheckpointError, match=rf"{WORDS} of the shape .* is stored as int8; expected .*; found {found}"
    ):
        read_checkpoint(tmp_path)


def test_a_tensor_of_another_kind_is_refused(tmp_path: Path) -> None:
    arrays: Any = ARRAYS | {"encoder.layer.1.output.dense.weight": np.zeros((16, 64), np.uint8)}
    write_model(tmp_path, RECORD, arrays)
    with pytest.raises(
        CheckpointError, match=r"encoder.layer.1.output.dense.weight is stored as U8; expected F32, F16"
    ):
        read_checkpoint(tmp_path)


def test_heads_of_pretraining_and_position_counters_are_left_out(tmp_path: Path, expected: np.ndarray) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        more: Any = {
            "bert.embeddings.position_ids": np.arange(512)[None],
            "cls.predictions.bias": np.zeros(3, np.float32),
            "cls.predictions.transform.LayerNorm.gamma": np.zeros(3, np.float32),
            "cls.seq_relationship.weight": np.zeros((2, 16), np.float32),
        }
        write_safetensors(folder, {f"bert.{name}": array for name, array in arrays.items()} | more)

    np.testing.assert_array_equal(vectors(tmp_path, weights=write), expected)


def test_heads_of_pretraining_in_h5_are_left_out(tmp_path: Path, expected: np.ndarray) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        write_h5(folder, arrays)
        with h5py.File(folder / "tf_model.h5", "a") as file:
            file["mlm___cls/tf_bert_for_pre_training/mlm___cls/predictions/transform/dense/kernel:0"] = np.zeros((2, 2))
            file["nsp___cls/tf_bert_for_pre_training/nsp___cls/seq_relationship/bias:0"] = np.zeros(2)
            file.create_group("top_level_model_weights")

    np.testing.assert_array_equal(vectors(tmp_path, weights=write), expected)


def test_a_layer_that_h5_holds_twice_is_read_once(tmp_path: Path, expected: np.ndarray) -> None:
    """As TensorFlow's classes with a head of pre-training write it, which shares the embeddings."""

    def write(folder: Path, arrays: Arrays) -> None:
        write_h5(folder, arrays)
        with h5py.File(folder / "tf_model.h5", "a") as file:
            file.copy("bert/tf_bert_model_1/bert/embeddings", file, "mlm___cls/tf_bert_model_1/bert/embeddings")

    np.testing.assert_array_equal(vectors(tmp_path, weights=write), expected)


@pytest.mark.parametrize("side", ["ctx_encoder", "question_encoder"])
@pytest.mark.parametrize("projection", [0, 8])
@pytest.mark.parametrize("form", ["safetensors", "h5"])
def test_dpr_models_take_the_first_token_and_their_projection(
    tmp_path: Path, side: str, projection: int, form: str
) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(projection, 16)).astype(np.float32), rng.normal(size=projection).astype(np.float32)

    def write(folder: Path, arrays: Arrays) -> None:
        named = {f"{side}.bert_model.{name}": array for name, array in arrays.items()}
        if projection:
            named |= {f"{side}.encode_proj.weight": weight, f"{side}.encode_proj.bias": bias}
        if form == "safetensors":
            write_safetensors(folder, named)
        else:
            with h5py.File(folder / "tf_model.h5", "w") as file:
                write_h5(folder / "..", arrays, prefix=f"{side}/tfdpr/{side}/bert_model/")
                with h5py.File(folder / ".." / "tf_model.h5") as source:
                    source.copy(side, file)
                if projection:
                    file[f"{side}/tfdpr/{side}/encode_proj/kernel:0"] = weight.T
                    file[f"{side}/tfdpr/{side}/encode_proj/bias:0"] = bias

    found = vectors(tmp_path / "dpr", dpr_record(projection_dim=projection), WITHOUT_POOLER, weights=write)
    first = vectors(tmp_path / "cls", arrays=WITHOUT_POOLER)
    np.testing.assert_allclose(found, first @ weight.T + bias if projection else first, rtol=0, atol=1e-5)


def test_a_pooler_left_over_in_a_dpr_model_is_not_read(tmp_path: Path) -> None:
    found = vectors(tmp_path / "dpr", dpr_record())
    np.testing.assert_array_equal(found, vectors(tmp_path / "cls", arrays=WITHOUT_POOLER))


def test_the_pooling_is_the_pooler_where_there_is_one_and_can_be_chosen(tmp_path: Path) -> None:
    with_pooler = write_model(tmp_path / "with", RECORD, ARRAYS)
    without = write_model(tmp_path / "without", RECORD, WITHOUT_POOLER)
    assert read_checkpoint(with_pooler).config.pooling == "pooler"
    assert read_checkpoint(without).config.pooling == "cls"
    assert read_checkpoint(with_pooler, pooling="mean").config.pooling == "mean"
    with pytest.raises(CheckpointError, match=r"missing: pooler.dense.weight \[16, 16\]"):
        read_checkpoint(without, pooling="pooler")
