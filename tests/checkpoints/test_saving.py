"""save_pretrained: a saved model loads with the same vectors, here and in the libraries that read its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import bert_arrays, bert_record, write_h5, write_model, write_pair
from safetensors import safe_open
from safetensors.numpy import load_file

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.checkpoints.tokenizer_files import save_tokenizer
from dpr_tiny_retriever.model.config import Dense

pytestmark = pytest.mark.also_lowest

TEXTS = ["the city", ("the tower", "of the river"), "naïve 日本 " * 200, ""]


def assert_same(one: Encoder, other: Encoder) -> None:
    np.testing.assert_array_equal(one.encode(TEXTS), other.encode(TEXTS))
    assert (one.config, one.max_length, one.similarity) == (other.config, other.max_length, other.similarity)
    assert one.tokenizer.text_segment == other.tokenizer.text_segment


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_saved_pair_loads_with_the_same_vectors(
    pair_directory: Path, tmp_path: Path, pooling: Any, normalize: bool
) -> None:
    pair = DualEncoder.from_pretrained(
        pair_directory, pooling=pooling, normalize=normalize, max_query_length=20, max_passage_length=40
    )
    pair.save_pretrained(tmp_path / "saved")
    again = DualEncoder.from_pretrained(tmp_path / "saved")
    assert_same(again.query_encoder, pair.query_encoder)
    assert_same(again.passage_encoder, pair.passage_encoder)
    assert again.similarity == pair.similarity == ("cosine" if normalize else "dot")


@pytest.mark.parametrize("pooling", ["pooler", "cls"])
@pytest.mark.parametrize("text_segment", [0, 1])
def test_projection_text_segment_and_similarity_are_saved(
    encoder: Encoder, tmp_path: Path, pooling: Any, text_segment: int
) -> None:
    rng = np.random.default_rng(0)
    dpr = bert_record(width=16) | {"model_type": "dpr", "projection_dim": 5, "text_segment": text_segment}
    arrays = bert_arrays(dpr) | {
        "encode_proj.weight": rng.normal(size=(5, 16)).astype(np.float32),
        "encode_proj.bias": rng.normal(size=5).astype(np.float32),
    }
    source = Encoder.from_pretrained(write_model(tmp_path / "source", dpr, arrays), side="query", pooling=pooling)
    source.save_pretrained(tmp_path / "saved")
    again = Encoder.from_pretrained(tmp_path / "saved", side="query")
    assert (again.embedding_dim, again.config.pooling, again.tokenizer.text_segment) == (5, pooling, text_segment)
    assert_same(again, source)


def test_an_encoder_made_of_arrays_is_saved_like_any_other(encoder: Encoder, tmp_path: Path) -> None:
    made = Encoder(encoder.config, encoder.weights, encoder.tokenizer, max_length=33, similarity="cosine")
    made.save_pretrained(tmp_path)
    assert_same(Encoder.from_pretrained(tmp_path, side="passage"), made)


def test_what_was_read_from_h5_is_saved_exactly(tmp_path: Path) -> None:
    record = bert_record(width=16)
    arrays = bert_arrays(record)
    source = Encoder.from_pretrained(write_model(tmp_path / "h5", record, arrays, weights=write_h5), side="query")
    source.save_pretrained(tmp_path / "saved")
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    assert stored.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(stored[name], array)


def test_each_side_has_the_files_that_others_look_for(pair: DualEncoder, tmp_path: Path) -> None:
    pair.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["passage_encoder", "query_encoder"]
    for side, length in (("query_encoder", 64), ("passage_encoder", 156)):
        folder = tmp_path / side
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        assert files == [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "config.json",
            "config_sentence_transformers.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ]
        config = json.loads((folder / "config.json").read_text())
        assert {**bert_record(), **config} == config
        assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == length
        kinds = [module["type"].rsplit(".")[-1] for module in json.loads((folder / "modules.json").read_text())]
        assert kinds == ["Transformer", "Pooling", "Dense"]


def test_a_preset_of_text_segment_zero_is_told_apart_by_its_folder(tmp_path: Path) -> None:
    for text_segment in (0, 1):
        write_model(tmp_path / str(text_segment), bert_record(width=16, text_segment=text_segment))
    one, other = (Encoder.from_pretrained(tmp_path / name, side="passage") for name in "01")
    np.testing.assert_array_equal(one.encode(["the city"]), other.encode(["the city"]))
    assert not np.allclose(one.encode([("the", "city")]), other.encode([("the", "city")]), atol=1e-3)


@pytest.mark.posix
def test_saving_over_a_pair_replaces_it_and_keeps_all_else(pair_directory: Path, tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "pair", seed=7)
    (folder / "README.md").write_text("mine")
    (folder / "runs" / "1").mkdir(parents=True)
    (folder / "runs" / "1" / "log.txt").write_text("also mine")
    (folder / "latest").symlink_to("runs/1")
    (folder / "query_encoder" / "tf_model.h5").write_text("weights of the former pair")
    pair = DualEncoder.from_pretrained(pair_directory)
    pair.save_pretrained(folder)
    assert_same(DualEncoder.from_pretrained(folder).query_encoder, pair.query_encoder)
    assert_same(DualEncoder.from_pretrained(folder).passage_encoder, pair.passage_encoder)
    assert (folder / "README.md").read_text() == "mine"
    assert (folder / "latest" / "log.txt").read_text() == "also mine"
    assert (folder / "latest").is_symlink()
    assert not (folder / "query_encoder" / "tf_model.h5").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pair"]


@pytest.mark.posix
def test_weights_that_cannot_be_written_to_the_end_are_an_oserror_and_the_former_model_stays(tmp_path: Path) -> None:
    """A file-size limit makes the safetensors library fail as a full disk would."""
    import resource

    folder = write_model(tmp_path / "model", bert_record(width=16))
    former = (folder / "model.safetensors").read_bytes()
    encoder = Encoder.from_pretrained(folder, side="query")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(former) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model\.safetensors cannot be written .*; expected a folder with room"):
            encoder.save_pretrained(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (folder / "model.safetensors").read_bytes() == former
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.posix
def test_a_tokenizer_that_cannot_be_written_to_the_end_is_an_oserror(tmp_path: Path) -> None:
    import resource

    tokenizer = Encoder.from_pretrained(write_model(tmp_path / "model", bert_record(width=16)), side="query").tokenizer
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_tokenizer(tokenizer, tmp_path, 64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_pair_can_be_saved_over_itself(tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "pair", width=16)
    pair = DualEncoder.from_pretrained(folder)
    expected = pair.encode_passages(TEXTS)
    pair.save_pretrained(folder)
    np.testing.assert_array_equal(DualEncoder.from_pretrained(folder).encode_passages(TEXTS), expected)
    np.testing.assert_array_equal(pair.encode_passages(TEXTS), expected)


def test_saving_over_the_working_directory_keeps_it(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "inside").mkdir()
    for here, target in ((tmp_path, "."), (tmp_path / "inside", "..")):
        monkeypatch.chdir(here)
        encoder.save_pretrained(target)
        assert Path.cwd() == here
        assert_same(Encoder.from_pretrained(target, side="passage"), encoder)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.posix
def test_parent_folders_are_created_and_a_link_is_followed(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path / "a" / "b" / "c")
    (tmp_path / "link").symlink_to("a/b/c")
    encoder.with_max_length(7).save_pretrained(str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert Encoder.from_pretrained(tmp_path / "a" / "b" / "c", side="passage").max_length == 7


@pytest.mark.posix
def test_a_saved_folder_has_the_permissions_of_a_new_or_of_the_old_folder(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path / "new")
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "usual").chmod(0o750)
    encoder.save_pretrained(tmp_path / "usual")
    assert (tmp_path / "usual").stat().st_mode & 0o777 == 0o750


def test_weights_have_the_permissions_of_their_configuration(pair: DualEncoder, tmp_path: Path) -> None:
    pair.save_pretrained(tmp_path / "saved")
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {path.stat().st_mode for path in files} == {(tmp_path / "saved/query_encoder/config.json").stat().st_mode}


def test_a_file_in_the_way_is_refused_and_kept(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "pair").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"pair is a file; expected a folder"):
        encoder.save_pretrained(tmp_path / "pair")
    assert (tmp_path / "pair").read_text() == "mine"


@pytest.mark.linux
def test_a_mount_point_is_refused(encoder: Encoder) -> None:
    with pytest.raises(OSError, match=r"/proc is a mount point, which cannot be replaced; expected a folder inside it"):
        encoder.save_pretrained("/proc")


def test_new_weights_replace_the_saved_ones(encoder: Encoder, tmp_path: Path) -> None:
    """As after training: an encoder is made of new arrays, and saved over the former one."""
    encoder.save_pretrained(tmp_path)
    zero = Dense(np.zeros((128, 128), np.float32), np.full(128, 0.5, np.float32))
    Encoder(encoder.config, encoder.weights._replace(pooler=zero), encoder.tokenizer, max_length=9).save_pretrained(
        tmp_path
    )
    vectors = Encoder.from_pretrained(tmp_path, side="passage").encode(["the city"])
    np.testing.assert_allclose(vectors, np.tanh(0.5), atol=1e-6)


def test_the_metadata_of_the_weights_says_pytorch(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
