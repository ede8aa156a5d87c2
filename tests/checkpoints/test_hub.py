"""From a preset's name or a hub id to files: what is downloaded, what is not, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_stand_in import Hub, serving
from model_folders import bert_arrays, bert_record, write_h5, write_model, write_pair

from dpr_tiny_retriever import DualEncoder, ModelNotFoundError
from dpr_tiny_retriever.checkpoints.hub import BUNDLED, resolve
from dpr_tiny_retriever.checkpoints.presets import PRESETS

QUERY = "nlpconnect/dpr-question_encoder_bert_uncased_L-2_H-128_A-2"
PASSAGE = "nlpconnect/dpr-ctx_encoder_bert_uncased_L-2_H-128_A-2"
#: What one side of an nlpconnect pair needs; its repository also has pytorch_model.bin and other forms.
NEEDED = ["config.json", "tf_model.h5", "tokenizer.json", "tokenizer_config.json"]

#: A name of the hub is resolved in a process of its own: the address of the hub and the cache are read at import.
RESOLVE = """
import json, sys
from dpr_tiny_retriever.checkpoints.hub import resolve
arguments = json.loads(sys.argv[1])
source = resolve(**arguments)
print(json.dumps([str(source.directory), source.preset and source.preset.name, sorted(sys.modules)]))
"""

Resolve = Callable[..., Any]


def write_published(folder: Path, seed: int, **changes: Any) -> Path:
    """A repository as nlpconnect published it: TensorFlow and PyTorch weights, tokenizer files, a card."""
    record = bert_record(**changes)
    write_model(folder, record, bert_arrays(record, seed=seed), weights=write_h5)
    for name in ("pytorch_model.bin", "flax_model.msgpack", "README.md", ".gitattributes", "special_tokens_map.json"):
        (folder / name).write_bytes(b"not to be read")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    return {name: write_published(folder / name.replace("/", "--"), seed) for seed, name in enumerate((QUERY, PASSAGE))}


@pytest.fixture
def hub(published: dict[str, Path]) -> Iterator[Hub]:
    hub = Hub()
    for name, folder in published.items():
        hub.add(name, folder)
    with serving(hub):
        yield hub


def surroundings(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return own | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | more


@pytest.fixture
def found(hub: Hub, tmp_path: Path) -> Resolve:
    """Resolve in another process: the folder and the preset, or the last line of what was raised."""

    def run(model: str | None, side: str = "query", environment: dict[str, str] | None = None, **how: Any) -> Any:
        arguments = json.dumps({"model": model, "side": side, **how})
        done = subprocess.run(
            [sys.executable, "-c", RESOLVE, arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=surroundings(hub, tmp_path / "home", **environment or {}),
            check=False,
        )
        if done.returncode:
            return done.stderr.splitlines()[-1]
        directory, preset, modules = json.loads(done.stdout)
        assert "tensorflow" not in modules
        return Path(directory), preset

    return run


@pytest.fixture
def nowhere() -> str:
    """An address where nothing answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_only_the_files_of_one_side_that_are_needed_are_downloaded(hub: Hub, found: Resolve) -> None:
    directory, preset = found("nlpconnect-L2", "query")
    assert preset == "nlpconnect-L2"
    assert hub.downloaded() == {QUERY: NEEDED}
    assert sorted(path.name for path in directory.iterdir()) == NEEDED
    assert not any(PASSAGE in path or path.endswith(".bin") for _, path, _ in hub.requests)
    found("nlpconnect-L2", "passage")
    assert hub.downloaded() == {QUERY: NEEDED, PASSAGE: NEEDED}


def test_a_sides_own_id_is_the_same_as_its_preset(hub: Hub, found: Resolve) -> None:
    assert found(PASSAGE, "passage")[1] == "nlpconnect-L2"
    assert hub.downloaded() == {PASSAGE: NEEDED}


@pytest.mark.parametrize("offline", [{"local_files_only": True}, {"environment": {"HF_HUB_OFFLINE": "1"}}])
def test_what_was_downloaded_is_found_again_without_a_request(
    hub: Hub, found: Resolve, offline: dict[str, Any]
) -> None:
    first = found("nlpconnect-L2", "query")
    hub.requests.clear()
    assert found("nlpconnect-L2", "query", **offline) == first
    assert hub.requests == []


def test_what_was_downloaded_is_not_downloaded_again(hub: Hub, found: Resolve) -> None:
    first = found(QUERY)
    hub.requests.clear()
    assert found(QUERY) == first
    assert hub.downloaded() == {}


def test_what_was_downloaded_is_found_when_the_hub_is_not(found: Resolve, nowhere: str) -> None:
    first = found(QUERY)
    assert found(QUERY, environment={"HF_ENDPOINT": nowhere}) == first


@pytest.mark.parametrize("offline", [{"local_files_only": True}, {"environment": {"HF_HUB_OFFLINE": "1"}}])
def test_offline_and_unknown_it_says_so_and_names_the_ways_out(
    hub: Hub, found: Resolve, offline: dict[str, Any]
) -> None:
    assert found("nlpconnect-L2", "passage", **offline) == (
        f"dpr_tiny_retriever.errors.ModelNotFoundError: the passage model {PASSAGE} is neither a folder here nor in "
        "the local hub cache, and this run may not use the network. Ways out: run once online without "
        "local_files_only and HF_HUB_OFFLINE; check the name and, for a private repository, pass token=; copy the "
        f"hub cache of a machine that has it and set HF_HOME; or download it there (hf download {PASSAGE} "
        "--local-dir FOLDER) and pass the folder"
    )
    assert hub.requests == []


def test_offline_the_other_side_is_still_missing(hub: Hub, found: Resolve) -> None:
    found("nlpconnect-L2", "query")
    assert f"the passage model {PASSAGE} is neither" in found("nlpconnect-L2", "passage", local_files_only=True)


def test_offline_with_everything_but_the_weights_it_says_so(hub: Hub, found: Resolve) -> None:
    directory, _ = found(QUERY)
    (directory / "tf_model.h5").unlink()
    assert f"the query model {QUERY} is neither a folder here" in found(QUERY, local_files_only=True)


def test_a_revision_is_honoured(hub: Hub, found: Resolve, tmp_path: Path) -> None:
    hub.add(QUERY, write_published(tmp_path / "next", 9, layers=3), revision="v2")
    folders = {revision: found(QUERY, revision=revision)[0] for revision in (None, "v2")}
    layers = {
        revision: json.loads((f / "config.json").read_text())["num_hidden_layers"] for revision, f in folders.items()
    }
    assert layers == {None: 2, "v2": 3}
    hub.requests.clear()
    assert found(QUERY, revision="v2", local_files_only=True)[0] == folders["v2"]
    commit = hub.repositories[QUERY].commit("v2")
    assert found(QUERY, revision=commit, local_files_only=True)[0] == folders["v2"]
    assert hub.requests == []
    message = found(QUERY, revision="v3")
    assert f"the query model {QUERY} at revision v3 is neither" in message
    assert "the hub says: " in message


def test_every_file_is_asked_for_by_the_commit(hub: Hub, found: Resolve) -> None:
    """A repository that changes between two files gives no mixture."""
    found(QUERY)
    commits = {path.split("/")[4] for _, path, _ in hub.requests if "/resolve/" in path}
    assert commits == {hub.repositories[QUERY].commit("main")}


def test_a_token_is_sent_and_opens_a_private_repository(hub: Hub, found: Resolve, published: dict[str, Path]) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    directory, preset = found("me/private", token="hf_secret")
    assert preset is None
    assert sorted(path.name for path in directory.iterdir()) == NEEDED
    assert {authorization for *_, authorization in hub.requests} == {"Bearer hf_secret"}


def test_a_token_of_the_environment_is_sent_and_false_sends_none(
    hub: Hub, found: Resolve, published: dict[str, Path]
) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    found("me/private", environment={"HF_TOKEN": "hf_secret"})
    assert {authorization for *_, authorization in hub.requests} == {"Bearer hf_secret"}
    hub.requests.clear()
    found(QUERY, environment={"HF_TOKEN": "hf_secret"}, token=False)
    assert {authorization for *_, authorization in hub.requests} == {None}


def test_a_private_repository_without_its_token_names_the_token(
    hub: Hub, found: Resolve, published: dict[str, Path]
) -> None:
    hub.add("me/private", published[QUERY], token="hf_secret")
    for how in ({}, {"token": "hf_wrong"}):
        message = found("me/private", **how)
        assert "ModelNotFoundError: the query model me/private is neither" in message
        assert "the hub says: 401 Client Error" in message
        assert "for a private repository, pass token=" in message
        assert "hf_wrong" not in message


def test_what_a_token_opened_is_found_again_without_it(hub: Hub, found: Resolve, published: dict[str, Path]) -> None:
    """As a pickle does, which does not hold the token."""
    hub.add("me/private", published[QUERY], token="hf_secret")
    first = found("me/private", token="hf_secret")
    assert found("me/private") == first


def test_an_unknown_repository_says_what_the_hub_says(found: Resolve) -> None:
    message = found("nobody/nothing", "passage")
    assert "ModelNotFoundError: the passage model nobody/nothing is neither a folder here" in message
    assert "the hub says: 401 Client Error" in message


def test_a_mistyped_folder_is_told_that_it_is_no_folder(found: Resolve) -> None:
    assert "the query model models/pair is neither a folder here" in found("models/pair", local_files_only=True)


def test_a_hub_that_fails_is_named(hub: Hub, found: Resolve) -> None:
    hub.broken = True
    message = found(QUERY)
    assert f"ModelNotFoundError: the query model {QUERY} is neither" in message
    assert "Ways out" in message


def test_a_hub_that_does_not_answer_is_named(found: Resolve, nowhere: str) -> None:
    message = found(QUERY, environment={"HF_ENDPOINT": nowhere})
    assert f"ModelNotFoundError: the query model {QUERY} is neither" in message
    assert "Ways out" in message


def test_a_repository_with_only_a_pickle_says_how_to_convert_it(
    hub: Hub, found: Resolve, published: dict[str, Path], tmp_path: Path
) -> None:
    hub.add("me/torch", published[QUERY])
    del hub.repositories["me/torch"].revisions["main"]["tf_model.h5"]
    message = found("me/torch")
    assert "ModelNotFoundError: me/torch holds neither model.safetensors nor tf_model.h5" in message
    assert "transformers.AutoModel.from_pretrained and calling save_pretrained(folder)" in message
    assert not any(path.endswith("pytorch_model.bin") for _, path, _ in hub.requests)


def test_safetensors_is_downloaded_rather_than_h5(hub: Hub, found: Resolve, published: dict[str, Path]) -> None:
    hub.add("me/both", published[QUERY])
    hub.repositories["me/both"].revisions["main"]["model.safetensors"] = b"any"
    found("me/both")
    assert hub.downloaded()["me/both"] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert not any(path.endswith(".h5") for _, path, _ in hub.requests)


def test_vocab_txt_is_downloaded_where_it_is_all_there_is(hub: Hub, found: Resolve, published: dict[str, Path]) -> None:
    hub.add("me/old", published[QUERY])
    del hub.repositories["me/old"].revisions["main"]["tokenizer.json"]
    found("me/old")
    assert hub.downloaded()["me/old"] == ["config.json", "tf_model.h5", "tokenizer_config.json", "vocab.txt"]


def test_of_a_pair_in_one_repository_the_folder_of_the_side_is_taken(hub: Hub, found: Resolve, tmp_path: Path) -> None:
    folder = write_pair(tmp_path / "pair", width=16)
    (folder / "README.md").write_text("a card")
    hub.add("me/pair", folder)
    directory, preset = found("me/pair", "passage")
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
    assert found("me/pair", "passage", local_files_only=True)[0] == directory
    assert "the query model me/pair is neither" in found("me/pair", "query", local_files_only=True)
    assert hub.requests == []


def test_the_sidecar_files_of_sentence_transformers_are_downloaded(
    hub: Hub, found: Resolve, pair_directory: Path, tmp_path: Path
) -> None:
    DualEncoder.from_pretrained(pair_directory, normalize=True).query_encoder.save_pretrained(tmp_path / "saved")
    hub.add("me/sentences", tmp_path / "saved")
    found("me/sentences")
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


def test_presets_say_what_their_files_do_not() -> None:
    known = {
        name: (p.max_query_length, p.max_passage_length, p.pooling, p.text_segment, p.similarity, p.license)
        for name, p in PRESETS.items()
    }
    assert known == {
        "nlpconnect-L2": (64, 156, "pooler", 1, "dot", "apache-2.0"),
        "nlpconnect-L12": (64, 156, "pooler", 1, "dot", "apache-2.0"),
        "facebook-single-nq": (64, 256, "cls", 0, "dot", "cc-by-nc-4.0"),
    }
    for preset in PRESETS.values():
        assert preset.model("query") != preset.model("passage")


#: Encodes by presets, online and, when told, offline; where importing Keras is an error, since nothing here needs it.
ENCODE = """
import json, pickle, sys
sys.modules["keras"] = sys.modules["tf_keras"] = None
import numpy as np
from dpr_tiny_retriever import DualEncoder

texts, folder = json.loads(sys.argv[1]), sys.argv[2]
for offline in (False, True):
    vectors = {}
    for name in ("nlpconnect-L2", "facebook-single-nq"):
        pair = DualEncoder.from_pretrained(name, local_files_only=offline)
        vectors[f"{name} query"] = pair.encode_queries(texts)
        vectors[f"{name} passage"] = pair.encode_passages([("river", text) for text in texts])
        vectors[f"{name} lengths"] = [pair.query_encoder.max_length, pair.passage_encoder.max_length]
        again = pickle.loads(pickle.dumps(pair))
        assert np.array_equal(again.encode_queries(texts), vectors[f"{name} query"])
        assert pair.similarity == "dot"
    np.savez(f"{folder}/{offline}.npz", **vectors)
    print("offline from here", flush=True)
    assert sys.stdin.readline()
assert "transformers" not in sys.modules
"""


def write_dpr(folder: Path, wrapper: str, seed: int) -> Path:
    """A model as facebook published it: the first token's vector, no pooler."""
    record = bert_record() | {"model_type": "dpr", "projection_dim": 0}
    arrays = {name: array for name, array in bert_arrays(record, seed=seed).items() if not name.startswith("pooler.")}
    return write_model(
        folder, record, arrays, weights=lambda folder, arrays: write_h5(folder, arrays, f"{wrapper}/tfdpr/{wrapper}/")
    )


def test_presets_encode_offline_what_they_encode_online(hub: Hub, published: dict[str, Path], tmp_path: Path) -> None:
    """The whole way for both published forms."""
    facebook = PRESETS["facebook-single-nq"]
    hub.add(facebook.query_model, write_dpr(tmp_path / "query", "question_encoder", 5))
    hub.add(facebook.passage_model, write_dpr(tmp_path / "passage", "ctx_encoder", 6))
    texts = ["the city", "who wrote " * 50]
    with subprocess.Popen(
        [sys.executable, "-c", ENCODE, json.dumps(texts), str(tmp_path)],
        env=surroundings(hub, tmp_path / "home"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "offline from here\n"
        assert len(hub.downloaded()) == 4
        hub.requests.clear()
        process.stdin.write("\n")
        process.stdin.flush()
        process.communicate("\n")
    assert process.returncode == 0
    assert hub.requests == []
    online, offline = (np.load(tmp_path / f"{name}.npz") for name in (False, True))
    for name in online:
        np.testing.assert_array_equal(offline[name], online[name])
    assert online["nlpconnect-L2 lengths"].tolist() == [64, 156]
    assert online["facebook-single-nq lengths"].tolist() == [64, 256]

    local = DualEncoder.from_pretrained(query_model=published[QUERY], passage_model=published[PASSAGE])
    titled = [("river", text) for text in texts]
    np.testing.assert_allclose(online["nlpconnect-L2 query"], local.encode_queries(texts), atol=1e-5)
    np.testing.assert_allclose(online["nlpconnect-L2 passage"], local.encode_passages(titled), atol=1e-5)
    plain = DualEncoder.from_pretrained(query_model=tmp_path / "query", passage_model=tmp_path / "passage")
    np.testing.assert_allclose(online["facebook-single-nq query"], plain.encode_queries(texts), atol=1e-5)
    # The files do not say that facebook's text has the segment of its title: the preset does.
    assert not np.allclose(online["facebook-single-nq passage"], plain.encode_passages(titled), atol=1e-3)
    plain.passage_encoder.tokenizer.text_segment = 0
    np.testing.assert_allclose(
        online["facebook-single-nq passage"], plain.passage_encoder.with_max_length(256).encode(titled), atol=1e-5
    )


def test_without_a_name_it_is_the_bundled_pair_and_no_request(hub: Hub, found: Resolve) -> None:
    assert found(None, "query")[0].is_relative_to(BUNDLED)
    assert found(None, "passage")[0].is_relative_to(BUNDLED)
    assert hub.requests == []
    pair = DualEncoder.from_pretrained()
    assert pair.embedding_dim == 128
    passages = [("Octopus", "It has three hearts and eight arms."), ("Espresso", "Coffee, pressed at nine bar.")]
    scores = pair.encode_queries(["how many hearts does an octopus have"]) @ pair.encode_passages(passages).T
    assert scores.argmax() == 0


def test_a_build_without_a_bundled_pair_says_what_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr_tiny_retriever.checkpoints.hub.BUNDLED", tmp_path / "models")
    with pytest.raises(
        ModelNotFoundError, match=r"no model was named, .* pass a preset \(nlpconnect-L2, .* or a folder"
    ):
        DualEncoder.from_pretrained()


@pytest.mark.parametrize("side", ["query", "passage"])
def test_a_folder_is_a_pair_or_one_model(pair_directory: Path, side: Any) -> None:
    assert resolve(pair_directory, side).directory == pair_directory / f"{side}_encoder"
    assert resolve(str(pair_directory / "query_encoder"), side).directory == pair_directory / "query_encoder"


def test_a_home_folder_is_found_by_its_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_model(tmp_path / "model", bert_record(width=16))
    assert resolve("~/model", "query").directory == tmp_path / "model"


def test_a_folder_that_is_no_model_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"is not a model: found nothing; expected config.json, or the folders"
    ):
        resolve(tmp_path, "query")
    for name in "abcdefghi":
        (tmp_path / name).touch()
    with pytest.raises(ModelNotFoundError, match=r"found a, b, c, d, e, f, g, h, \.\.\.; expected config.json"):
        resolve(tmp_path, "query")


def test_half_a_pair_is_no_pair(tmp_path: Path) -> None:
    write_model(tmp_path / "query_encoder", bert_record(width=16))
    with pytest.raises(ModelNotFoundError, match=r"found query_encoder; expected config.json, or the folders"):
        resolve(tmp_path, "passage")


def test_a_file_instead_of_a_folder_is_told_so(pair_directory: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config.json is a file; expected the folder that holds config.json"):
        resolve(pair_directory / "query_encoder" / "config.json", "query")


@pytest.mark.parametrize(
    "model", ["no such folder", "./nowhere", "/no/such/folder", Path("no/folder"), "nlpconnect-L3", "a/b/c"]
)
def test_what_is_neither_a_folder_nor_an_id_nor_a_preset_is_told_so(model: str | Path) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"there is no folder .*one of the presets nlpconnect-L2, nlpconnect-L12"
    ):
        resolve(model, "query")


@pytest.mark.parametrize("model", [3, b"bytes", ["a", "list"], {"model": "a"}])
def test_a_model_of_another_kind_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match=r"model is .*; expected a preset, a directory or a hub id"):
        DualEncoder.from_pretrained(model)


@pytest.mark.parametrize("side", ["question", "", None])
def test_another_side_is_refused(pair_directory: Path, side: Any) -> None:
    with pytest.raises(ValueError, match=f"side is {side!r}; expected 'query' or 'passage'"):
        resolve(pair_directory, side)
