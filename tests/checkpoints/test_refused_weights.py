"""Weights that do not fit their configuration, or are broken: each difference is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_folders import Arrays, bert_arrays, write_h5, write_model, write_safetensors
from smallest_bert import ARRAYS, RECORD, WITHOUT_POOLER, Writer, dpr_record, read_checkpoint, refused

from dpr_tiny_retriever import CheckpointError


@pytest.mark.parametrize("write", [write_safetensors, write_h5])
def test_every_missing_unexpected_and_misshapen_tensor_is_listed(tmp_path: Path, write: Writer) -> None:
    arrays = dict(ARRAYS)
    del arrays["encoder.layer.1.attention.self.key.weight"], arrays["embeddings.LayerNorm.bias"]
    arrays["encoder.layer.2.output.dense.bias"] = np.zeros(16, np.float32)
    arrays["pooler.dense.bias"] = np.zeros(7, np.float32)
    arrays["embeddings.word_embeddings.weight"] = np.zeros((9, 16), np.float32)
    assert refused(tmp_path, RECORD, arrays, write).splitlines() == [
        f"the tensors in {tmp_path} do not match its config.json (pooling 'pooler'):",
        "  missing: embeddings.LayerNorm.bias [16]",
        "  missing: encoder.layer.1.attention.self.key.weight [16, 16]",
        "  unexpected: encoder.layer.2.output.dense.bias [16]",
        f"  misshapen: embeddings.word_embeddings.weight [9, 16], expected [{RECORD['vocab_size']}, 16]",
        "  misshapen: pooler.dense.bias [7], expected [16]",
        "expected the weights that were saved together with this config.json",
    ]


@pytest.mark.parametrize("name", ["classifier.weight", "adapter", "bert.encoder.something.else"])
def test_a_tensor_of_any_other_name_is_unexpected(tmp_path: Path, name: str) -> None:
    assert f"unexpected: {name} [3, 2]\n" in refused(tmp_path, RECORD, ARRAYS | {name: np.zeros((3, 2), np.float32)})


def test_a_long_list_of_differences_is_shortened(tmp_path: Path) -> None:
    message = refused(tmp_path, RECORD | {"num_hidden_layers": 12}, ARRAYS)
    assert message.count("missing: encoder.layer.") == 20
    assert "... and 140 more" in message


@pytest.mark.parametrize("changes", [{"hidden_size": 32}, {"intermediate_size": 32}, {"vocab_size": 30522}])
def test_a_configuration_of_another_model_is_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    assert "misshapen: " in refused(tmp_path, RECORD | changes, ARRAYS)


def test_a_projection_that_only_one_of_configuration_and_weights_has_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / "a", dpr_record(projection_dim=8), WITHOUT_POOLER)
    assert "missing: encode_proj.weight [8, 16]\n  missing: encode_proj.bias [8]\n" in message
    projection = {"encode_proj.weight": np.zeros((8, 16), np.float32), "encode_proj.bias": np.zeros(8, np.float32)}
    message = refused(tmp_path / "b", dpr_record(), WITHOUT_POOLER | projection)
    assert "unexpected: encode_proj.weight [8, 16]\n" in message


def test_two_models_in_one_file_are_refused(tmp_path: Path) -> None:
    def write(folder: Path, arrays: Arrays) -> None:
        other = bert_arrays(RECORD, seed=4)
        named = {f"question_encoder.bert_model.{name}": array for name, array in arrays.items()}
        write_safetensors(folder, named | {f"ctx_encoder.bert_model.{name}": array for name, array in other.items()})

    message = refused(tmp_path, RECORD, ARRAYS, write)
    assert "model.safetensors holds two tensors " in message
    assert message.endswith("; expected one model in a file")


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    broken = ARRAYS["encoder.layer.0.output.dense.bias"].copy()
    broken[3] = np.nan
    message = refused(tmp_path, RECORD, ARRAYS | {"encoder.layer.0.output.dense.bias": broken})
    assert "not finite: encoder.layer.0.output.dense.bias [16]" in message


@pytest.mark.parametrize("value", [3e38, -3e38, 1.1e15])
def test_weights_that_overflow_when_they_are_multiplied_are_refused(tmp_path: Path, value: float) -> None:
    broken = ARRAYS["encoder.layer.0.output.dense.weight"].copy()
    broken[3, 5] = value
    message = refused(tmp_path, RECORD, ARRAYS | {"encoder.layer.0.output.dense.weight": broken})
    assert "\n  beyond 1e15: encoder.layer.0.output.dense.weight [16, 64]\n" in message


def test_a_folder_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    message = refused(tmp_path, RECORD, ARRAYS, lambda folder, _: None)
    assert message == (
        f"{tmp_path} has no weights: found config.json, tokenizer.json, tokenizer_config.json, vocab.txt; "
        "expected model.safetensors or tf_model.h5"
    )


def test_a_folder_with_only_a_pickle_says_how_to_convert_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def write(folder: Path, _: Arrays) -> None:
        code = f"cposix\nsystem\n(S'touch {ran}'\ntR.".encode()  # a pickle that runs a command when it is opened
        (folder / "pytorch_model.bin").write_bytes(code)

    message = refused(tmp_path / "model", RECORD, ARRAYS, write)
    assert "pytorch_model.bin" in message
    assert "transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)" in message
    assert not ran.exists()


def cuts(write: Writer, folder: Path) -> tuple[Path, list[bytes]]:
    """The weights' file and what may be left of it: nothing, a few bytes, half of it, all but the last byte."""
    write(folder, ARRAYS)
    path = next(folder.glob("*model.*"))
    whole = path.read_bytes()
    return path, [whole[:end] for end in (0, 4, 100, len(whole) // 2, len(whole) - 1)]


@pytest.mark.parametrize("write", [write_safetensors, write_h5])
def test_a_truncated_file_is_named(tmp_path: Path, write: Writer) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    path, remains = cuts(write, tmp_path)
    for remain in remains:
        path.write_bytes(remain)
        with pytest.raises(
            CheckpointError, match=r"model\.\w+: truncated or corrupt \(.+\); download or copy it again"
        ):
            read_checkpoint(tmp_path)


@pytest.mark.parametrize("write", [write_safetensors, write_h5])
def test_a_corrupt_file_is_an_error_of_the_checkpoint_or_harmless(tmp_path: Path, write: Writer) -> None:
    """A changed weight cannot be told from a weight; anything else that breaks is named, never another exception."""
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    path, (*_, whole) = cuts(write, tmp_path)
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(150):
        broken = bytearray(whole)
        for position in rng.integers(0, min(len(whole), 20_000), rng.choice([1, 8, 64])):
            broken[position] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_checkpoint(tmp_path)
        except CheckpointError:
            refusals += 1
    assert refusals > 50


@pytest.mark.parametrize("name", ["model.safetensors", "tf_model.h5"])
@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\nsize 17600000\n", b"<html>", b"\0" * 99]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda folder, _: (folder / name).write_bytes(content) and None)
    with pytest.raises(CheckpointError, match=f"{name}: truncated or corrupt"):
        read_checkpoint(tmp_path)
