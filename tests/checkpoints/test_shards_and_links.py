"""Weights in several files, and weights that lie elsewhere: the first are read, the second never."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from model_folders import Arrays, write_h5, write_json, write_model, write_shards
from safetensors.numpy import save_file
from smallest_bert import ARRAYS, RECORD, read_checkpoint, refused, vectors

from dpr_tiny_retriever import CheckpointError

WORDS = "bert/tf_bert_model_1/bert/embeddings/word_embeddings"


def test_shards_give_the_vectors_of_one_file(tmp_path: Path) -> None:
    found = vectors(tmp_path / "shards", weights=write_shards)
    np.testing.assert_array_equal(found, vectors(tmp_path / "whole"))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=write_shards)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"index.json: model-00002-of-00003.safetensors is missing; expected"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["a" * 5000, "\0"])
def test_a_shard_of_a_name_that_no_file_has_is_missing(tmp_path: Path, name: str) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"embeddings": name}})
    with pytest.raises(CheckpointError, match=r"index.json: .{1,200} is missing; expected every file"):
        read_checkpoint(tmp_path)


def test_a_shard_of_another_model_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=write_shards)
    save_file({"other": np.zeros(1, np.float32)}, str(tmp_path / "model-00002-of-00003.safetensors"))
    with pytest.raises(CheckpointError, match=r"model-00002-of-00003.safetensors has no tensor .*; expected files"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("path", ["../other.safetensors", "/etc/passwd", "shards/one.safetensors", "..", ""])
def test_a_shard_outside_of_the_folder_is_not_read(tmp_path: Path, path: str) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"embeddings": path}})
    with pytest.raises(CheckpointError, match=r"found the path .*; expected names of files beside it"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [[], {}, {"weight_map": []}, {"weight_map": {"a": 3}}])
def test_a_corrupt_index_of_shards_is_named(tmp_path: Path, content: object) -> None:
    write_model(tmp_path, RECORD, ARRAYS, weights=lambda *_: None)
    write_json(tmp_path / "model.safetensors.index.json", content)
    with pytest.raises(CheckpointError, match=r"index.json: (found a list|expected the record weight_map)"):
        read_checkpoint(tmp_path)


def changed(change: Callable[[Any], None]) -> Callable[[Path, Arrays], None]:
    """A writer of tf_model.h5 that changes it afterwards."""

    def write(folder: Path, arrays: Arrays) -> None:
        write_h5(folder, arrays)
        with h5py.File(folder / "tf_model.h5", "a") as file:
            change(file)

    return write


@pytest.mark.parametrize(
    ("link", "kind"),
    [
        (h5py.SoftLink("/"), "SoftLink"),
        (h5py.SoftLink("/bert"), "SoftLink"),
        (h5py.ExternalLink("other.h5", "/"), "ExternalLink"),
        (h5py.ExternalLink("/etc/passwd", "/"), "ExternalLink"),
    ],
)
def test_links_in_h5_are_not_followed(tmp_path: Path, link: object, kind: str) -> None:
    message = refused(tmp_path, RECORD, ARRAYS, changed(lambda file: file.__setitem__("bert/link", link)))
    assert message == f"{tmp_path}/tf_model.h5: bert/link is a {kind}; expected tensors in the file itself"


def test_h5_with_a_cycle_of_hard_links_is_read_once(tmp_path: Path) -> None:
    def cycle(file: Any) -> None:
        file["bert/again"] = file["bert"]
        file["bert/tf_bert_model_1/root"] = file["/"]

    np.testing.assert_array_equal(vectors(tmp_path / "a", weights=changed(cycle)), vectors(tmp_path / "b"))


def test_h5_that_stores_a_tensor_in_another_file_is_refused(tmp_path: Path) -> None:
    words = ARRAYS["embeddings.word_embeddings.weight"]
    (tmp_path / "other").write_bytes(words.tobytes())

    def move(file: Any) -> None:
        del file[WORDS]
        external = [(str(tmp_path / "other"), 0, words.nbytes)]
        file.create_dataset(f"{WORDS}/weight:0", words.shape, "<f4", external=external)

    message = refused(tmp_path / "model", RECORD, ARRAYS, changed(move))
    assert "weight:0 is stored in another file; expected tensors in the file itself" in message


def test_h5_that_gathers_a_tensor_from_another_file_is_refused(tmp_path: Path) -> None:
    words = ARRAYS["embeddings.word_embeddings.weight"]
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["words"] = words

    def move(file: Any) -> None:
        del file[WORDS]
        layout = h5py.VirtualLayout(words.shape, "<f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "words", words.shape)
        file.create_virtual_dataset(f"{WORDS}/weight:0", layout)

    message = refused(tmp_path / "model", RECORD, ARRAYS, changed(move))
    assert "weight:0 is stored in another file; expected tensors in the file itself" in message


@pytest.mark.parametrize("options", [{"chunks": True}, {"chunks": True, "compression": "gzip"}, {}])
def test_h5_never_takes_more_memory_than_its_size(tmp_path: Path, options: dict[str, Any]) -> None:
    """A file of kilobytes may declare terabytes of zeros."""

    def grow(file: Any) -> None:
        del file[WORDS]
        file.create_dataset(f"{WORDS}/weight:0", (1 << 40, 16), "<f4", **options)

    message = refused(tmp_path, RECORD | {"vocab_size": 1 << 40}, ARRAYS, changed(grow))
    assert "is compressed, sparse or cut off; expected 70368744177664 bytes" in message


def test_more_layers_than_the_weights_can_have_are_refused_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, RECORD | {"num_hidden_layers": 10**12}, ARRAYS)
    assert "num_hidden_layers is 1000000000000, but the weights have 39 tensors; expected the weights" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt"])
def test_settings_and_words_of_a_terabyte_are_refused_unread(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path, RECORD, ARRAYS)
    with (folder / name).open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(CheckpointError, match=f"{name} has 1,099,511,627,776 bytes; expected at most 268,435,456"):
        read_checkpoint(folder)


@pytest.mark.posix
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    folder = write_model(tmp_path, RECORD, ARRAYS)
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json is neither a file nor a folder; expected a file"):
        read_checkpoint(folder)


def test_weights_of_a_terabyte_of_nothing_are_refused_unread(tmp_path: Path) -> None:
    folder = write_model(tmp_path, RECORD, ARRAYS)
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated or corrupt \(a header of 0 bytes"):
        read_checkpoint(folder)


@pytest.mark.linux
def test_weights_that_the_system_cannot_read_are_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path, RECORD, ARRAYS)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/proc/self/mem")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated or corrupt \(Input/output error\)"):
        read_checkpoint(folder)
