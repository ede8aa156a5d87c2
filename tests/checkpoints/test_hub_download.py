"""From a preset's name or a hub id to files: what is downloaded, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import Hub
from model_folders import bert_record, write_json, write_model, write_pair, write_shards
from published_models import NEEDED, PASSAGE, QUERY, Resolve, write_published
from router_folder import write_router
from sentence_transformers_folder import write_modules

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.also_lowest


def test_only_the_files_of_one_side_that_are_needed_are_downloaded(hub: Hub, resolved: Resolve) -> None:
    directory, preset = resolved("nlpconnect-L2", "query")
    assert preset == "nlpconnect-L2"
    assert hub.downloaded() == {QUERY: NEEDED}
    assert sorted(path.name for path in directory.iterdir()) == NEEDED
    assert not any(PASSAGE in path or path.endswith(".bin") for _, path, _ in hub.requests)
    resolved("nlpconnect-L2", "passage")
    assert hub.downloaded() == {QUERY: NEEDED, PASSAGE: NEEDED}


def test_a_sides_own_id_is_the_same_as_its_preset(hub: Hub, resolved: Resolve) -> None:
    assert resolved(PASSAGE, "passage")[1] == "nlpconnect-L2"
    assert hub.downloaded() == {PASSAGE: NEEDED}


@pytest.mark.parametrize("offline", [{"local_files_only": True}, {"environment": {"HF_HUB_OFFLINE": "1"}}])
def test_what_was_downloaded_is_found_again_without_a_request(
    hub: Hub, resolved: Resolve, offline: dict[str, Any]
) -> None:
    first = resolved("nlpconnect-L2", "query")
    hub.requests.clear()
    assert resolved("nlpconnect-L2", "query", **offline) == first
    assert hub.requests == []


def test_what_was_downloaded_is_not_downloaded_again(hub: Hub, resolved: Resolve) -> None:
    first = resolved(QUERY)
    hub.requests.clear()
    assert resolved(QUERY) == first
    assert hub.downloaded() == {}


def test_what_was_downloaded_is_found_when_the_hub_is_not(resolved: Resolve, nowhere: str) -> None:
    first = resolved(QUERY)
    assert resolved(QUERY, environment={"HF_ENDPOINT": nowhere}) == first


def test_a_revision_is_honoured(hub: Hub, resolved: Resolve, tmp_path: Path) -> None:
    hub.add(QUERY, write_published(tmp_path / "next", 9, layers=3), revision="v2")
    folders = {revision: resolved(QUERY, revision=revision)[0] for revision in (None, "v2")}
    layers = {
        revision: json.loads((f / "config.json").read_text())["num_hidden_layers"] for revision, f in folders.items()
    }
    assert layers == {None: 2, "v2": 3}
    hub.requests.clear()
    assert resolved(QUERY, revision="v2", local_files_only=True)[0] == folders["v2"]
    commit = hub.repositories[QUERY].commit("v2")
    assert resolved(QUERY, revision=commit, local_files_only=True)[0] == folders["v2"]
    assert hub.requests == []
    message = resolved(QUERY, revision="v3")
    assert f"the query model {QUERY} at revision v3 is neither" in message
    assert "the hub says: " in message


def test_every_file_is_asked_for_by_the_commit(hub: Hub, resolved: Resolve) -> None:
    """A repository that changes between two requests gives no mixture."""
    resolved(QUERY)
    commits = {path.split("/")[4] for _, path, _ in hub.requests if "/resolve/" in path}
    assert commits == {hub.repositories[QUERY].commit("main")}


def test_a_repository_with_only_a_pickle_says_how_to_convert_it(
    hub: Hub, resolved: Resolve, published: dict[str, Path], tmp_path: Path
) -> None:
    hub.add("me/torch", published[QUERY])
    del hub.repositories["me/torch"].revisions["main"]["tf_model.h5"]
    message = resolved("me/torch")
    assert "ModelNotFoundError: me/torch holds neither model.safetensors nor tf_model.h5" in message
    assert "transformers.AutoModel.from_pretrained and calling save_pretrained(folder)" in message
    assert not any(path.endswith("pytorch_model.bin") for _, path, _ in hub.requests)


def test_safetensors_is_downloaded_rather_than_h5(hub: Hub, resolved: Resolve, published: dict[str, Path]) -> None:
    hub.add("me/both", published[QUERY])
    hub.repositories["me/both"].revisions["main"]["model.safetensors"] = b"any"
    resolved("me/both")
    assert hub.downloaded()["me/both"] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert not any(path.endswith(".h5") for _, path, _ in hub.requests)


def test_vocab_txt_is_downloaded_where_there_is_no_tokenizer_json(
    hub: Hub, resolved: Resolve, published: dict[str, Path]
) -> None:
    hub.add("me/old", published[QUERY])
    del hub.repositories["me/old"].revisions["main"]["tokenizer.json"]
    resolved("me/old")
    assert hub.downloaded()["me/old"] == ["config.json", "tf_model.h5", "tokenizer_config.json", "vocab.txt"]


def test_only_one_folder_of_a_pair_is_downloaded(hub: Hub, resolved: Resolve, tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "pair", width=16)
    (folder / "README.md").write_text("a card")
    hub.add("me/pair", folder)
    directory, preset = resolved("me/pair", "passage")
    assert (directory.name, preset) == ("passage_encoder", None)
    assert hub.downloaded() == {
        "me/pair": [
            "passage_encoder/config.json",
            "passage_encoder/model.safetensors",
            "passage_encoder/tokenizer.json",
            "passage_encoder/tokenizer_config.json",
        ]
    }
    hub.requests.clear()
    assert resolved("me/pair", "passage", local_files_only=True)[0] == directory
    assert "the query model me/pair is neither" in resolved("me/pair", "query", local_files_only=True)
    assert hub.requests == []


def test_the_sidecar_files_of_sentence_transformers_are_downloaded(
    hub: Hub, resolved: Resolve, pair_directory: Path, tmp_path: Path
) -> None:
    DualEncoder.from_pretrained(pair_directory, normalize=True).query_encoder.save_pretrained(tmp_path / "saved")
    hub.add("me/sentences", tmp_path / "saved")
    resolved("me/sentences")
    assert hub.downloaded()["me/sentences"] == [
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_every_shard_of_the_weights_is_downloaded(hub: Hub, resolved: Resolve, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "shards", bert_record(width=16), weights=write_shards)
    hub.add("me/shards", folder)
    resolved("me/shards")
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    expected = ["config.json", *shards, "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"]
    assert hub.downloaded()["me/shards"] == expected
    hub.requests.clear()
    resolved("me/shards", local_files_only=True)
    assert hub.requests == []


def test_only_one_route_of_a_router_is_downloaded(hub: Hub, resolved: Resolve, tmp_path: Path) -> None:
    hub.add("me/router", write_router(tmp_path / "router", "query", "document", after=("Normalize",)))
    directory, _ = resolved("me/router", "passage")
    assert hub.downloaded()["me/router"] == [
        "document_0_Transformer/config.json",
        "document_0_Transformer/model.safetensors",
        "document_0_Transformer/sentence_bert_config.json",
        "document_0_Transformer/tokenizer.json",
        "document_0_Transformer/tokenizer_config.json",
        "document_1_Pooling/config.json",
        "modules.json",
        "router_config.json",
    ]
    hub.requests.clear()
    assert resolved("me/router", "passage", local_files_only=True)[0] == directory
    assert hub.requests == []


def test_the_transformer_is_downloaded_from_the_folder_that_it_has(hub: Hub, resolved: Resolve, tmp_path: Path) -> None:
    folder = write_modules(tmp_path / "old", "Transformer", "Pooling")
    (folder / "0_Transformer").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        path.rename(folder / "0_Transformer" / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(folder / "modules.json", modules)
    hub.add("me/old", folder)
    resolved("me/old")
    assert hub.downloaded()["me/old"] == [
        "0_Transformer/config.json",
        "0_Transformer/model.safetensors",
        "0_Transformer/tokenizer.json",
        "0_Transformer/tokenizer_config.json",
        "1_Pooling/config.json",
        "modules.json",
    ]
