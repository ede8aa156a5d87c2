"""Presets and the bundled pair, the whole way to vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub_stand_in import Hub
from model_folders import bert_arrays, bert_record, write_h5, write_model
from published_models import PASSAGE, QUERY, Resolve, hub_environment

from dpr_tiny_retriever import DualEncoder, ModelNotFoundError
from dpr_tiny_retriever.checkpoints.bundled_pairs import BUNDLED
from dpr_tiny_retriever.checkpoints.presets import PRESETS


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
        env=hub_environment(hub, tmp_path / "home"),
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


def test_without_a_name_it_is_the_bundled_pair_and_no_request(hub: Hub, resolved: Resolve) -> None:
    assert resolved(None, "query")[0].is_relative_to(BUNDLED)
    assert resolved(None, "passage")[0].is_relative_to(BUNDLED)
    assert hub.requests == []
    pair = DualEncoder.from_pretrained()
    assert pair.embedding_dim == 128
    passages = [("Octopus", "It has three hearts and eight arms."), ("Espresso", "Coffee, pressed at nine bar.")]
    scores = pair.encode_queries(["how many hearts does an octopus have"]) @ pair.encode_passages(passages).T
    assert scores.argmax() == 0


def test_a_build_without_a_bundled_pair_says_what_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr_tiny_retriever.checkpoints.bundled_pairs.BUNDLED", tmp_path / "models")
    with pytest.raises(ModelNotFoundError, match=r"lacks its pair 'bundled': .*, or pass a preset, .* or a folder"):
        DualEncoder.from_pretrained()
