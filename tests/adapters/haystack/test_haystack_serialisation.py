"""Embedders and pipelines become plain data, and load from it in another process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.core.errors import DeserializationError
from haystack.utils import Secret
from haystack_checks import answers, in_memory_query_pipeline, indexing_pipeline, store_in_memory

from dpr_tiny_retriever import Encoder, ModelMismatchError, ModelNotFoundError
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = pytest.mark.haystack

PACKAGE = "haystack_integrations.components.embedders.dpr_tiny"

SHARED: dict[str, Any] = {
    "model": "owner/pair",
    "revision": "v2",
    "token": {"type": "env_var", "env_vars": ["MY_TOKEN"], "strict": True},
    "local_files_only": True,
    "max_length": 32,
    "pooling": "mean",
    "normalize_embeddings": False,
    "exact_dot": True,
    "fingerprint": "0123456789abcdef",
    "on_mismatch": "warn",
    "backend": "tensorflow",
    "threads": 3,
    "device": "/CPU:0",
    "precision": "bfloat16",
    "prefix": "a",
    "suffix": "b",
    "progress_bar": False,
}
DOCUMENT_EMBEDDER: dict[str, Any] = {
    "title_meta_field": None,
    "meta_fields_to_embed": ["author"],
    "embedding_separator": " ",
    "batch_size": 3,
    "stamp_documents": False,
}


@pytest.mark.parametrize(
    ("embedder", "module", "parameters"),
    [
        (TinyDPRTextEmbedder, "text_embedder", SHARED),
        (TinyDPRDocumentEmbedder, "document_embedder", SHARED | DOCUMENT_EMBEDDER),
    ],
)
def test_every_parameter_survives_to_dict_and_from_dict(embedder: Any, module: str, parameters: dict[str, Any]) -> None:
    original = embedder(**parameters | {"token": Secret.from_env_var("MY_TOKEN")})
    data = original.to_dict()
    assert data == {"type": f"{PACKAGE}.{module}.{embedder.__name__}", "init_parameters": parameters}
    before = json.dumps(data)
    copy = embedder.from_dict(data)
    assert json.dumps(data) == before
    assert copy.to_dict() == data
    assert copy.token == original.token


@pytest.mark.parametrize("embedder", [TinyDPRTextEmbedder, TinyDPRDocumentEmbedder])
def test_defaults_survive_to_dict_and_from_dict(embedder: Any) -> None:
    data = embedder().to_dict()
    assert data["init_parameters"]["token"]["env_vars"] == ["HF_API_TOKEN", "HF_TOKEN"]
    assert embedder.from_dict(data).to_dict() == data
    assert embedder.from_dict({"type": data["type"], "init_parameters": {}}).to_dict() == data
    assert embedder(token=None).to_dict()["init_parameters"]["token"] is None


@pytest.mark.parametrize("name", ["bundled", "bundled-L12"])
def test_yaml_names_a_bundled_pair_of_this_release_and_its_fingerprint(name: str) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", TinyDPRTextEmbedder(name))
    yaml = pipeline.dumps()
    fingerprint = Encoder.from_pretrained(name, side="query").fingerprint(model_only=True)
    assert f"model: {name}@0.2\n" in yaml
    assert f"fingerprint: {fingerprint}\n" in yaml
    assert Pipeline.loads(yaml).dumps() == yaml
    loaded = Pipeline.loads(yaml).get_component("embedder").run("who")["embedding"]
    assert loaded == TinyDPRTextEmbedder(name).run("who")["embedding"]

    with pytest.raises(ModelMismatchError, match=rf"'{name}@0.2' has the fingerprint .* expected another"):
        Pipeline.loads(yaml.replace(fingerprint, "another")).get_component("embedder").warm_up()
    with pytest.raises(ModelNotFoundError, match=rf"{name}@0.1 is the bundled pair of release 0.1"):
        Pipeline.loads(yaml.replace(f"{name}@0.2", f"{name}@0.1")).get_component("embedder").warm_up()


def test_the_same_folder_with_other_weights_does_not_go_unnoticed(pair_directory: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pair_directory, tmp_path / "pair")
    embedder = TinyDPRDocumentEmbedder(folder)
    assert (
        embedder.to_dict()["init_parameters"]["fingerprint"] is None
    )  # nothing is loaded, perhaps from the hub, for it
    embedder.warm_up()
    data = embedder.to_dict()
    TinyDPRDocumentEmbedder.from_dict(data).warm_up()
    shutil.rmtree(folder / "passage_encoder")
    shutil.copytree(pair_directory / "query_encoder", folder / "passage_encoder")
    with pytest.raises(ModelMismatchError, match="other weights"):
        TinyDPRDocumentEmbedder.from_dict(data).warm_up()


def test_from_dict_refuses_the_data_of_the_other_embedder() -> None:
    with pytest.raises(DeserializationError, match="can't be deserialized as 'TinyDPRDocumentEmbedder'"):
        TinyDPRDocumentEmbedder.from_dict(TinyDPRTextEmbedder().to_dict())


def test_to_dict_writes_a_path_as_str(tmp_path: Path) -> None:
    assert TinyDPRTextEmbedder(tmp_path).to_dict()["init_parameters"]["model"] == str(tmp_path)


def test_the_value_of_a_token_is_never_serialised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_from_the_environment")
    pipeline = Pipeline()
    pipeline.add_component("embedder", TinyDPRTextEmbedder("owner/pair"))
    assert "hf_from_the_environment" not in pipeline.dumps()
    with pytest.raises(ValueError, match="Cannot serialize token-based secret"):
        TinyDPRTextEmbedder("owner/pair", token=Secret.from_token("hf_in_the_code")).to_dict()


def test_pipelines_from_yaml_index_and_answer_alike_in_a_fresh_process(
    pair_directory: Path, tmp_path: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    store = store_in_memory()
    indexing = indexing_pipeline(pair_directory, store, backend="numpy", threads=1)
    querying = in_memory_query_pipeline(pair_directory, store, backend="numpy", threads=2)
    (tmp_path / "indexing.yaml").write_text(indexing.dumps())
    (tmp_path / "querying.yaml").write_text(querying.dumps())
    record = {
        "documents": [document.to_dict(flatten=False) for document in documents],
        "questions": list(questions),
    }
    (tmp_path / "input.json").write_text(json.dumps(record))

    subprocess.run([sys.executable, "-c", FRESH_PROCESS, str(tmp_path)], check=True)

    indexing.run({"splitter": {"documents": documents}})
    output = json.loads((tmp_path / "output.json").read_text())
    assert output["embedders"] == [
        f"TinyDPRDocumentEmbedder(model='{pair_directory}', side='passage', embedding_dim=128, backend='numpy')",
        f"TinyDPRTextEmbedder(model='{pair_directory}', side='query', embedding_dim=128, backend='numpy')",
    ]
    assert output["threads"] == [1, 2]
    rankings = output["rankings"]
    for question, ranking in zip(questions, rankings, strict=True):
        expected = answers(querying, question)
        assert [title for title, _ in ranking] == [document.meta["title"] for document in expected]
        assert [score for _, score in ranking] == pytest.approx([document.score for document in expected], abs=1e-4)


FRESH_PROCESS = """
import json, sys
from pathlib import Path
from haystack import Document, Pipeline

folder = Path(sys.argv[1])
record = json.loads((folder / "input.json").read_text())
indexing = Pipeline.loads((folder / "indexing.yaml").read_text())
querying = Pipeline.loads((folder / "querying.yaml").read_text())
indexing.run({"splitter": {"documents": [Document.from_dict(document) for document in record["documents"]]}})
rankings = []
for question in record["questions"]:
    ranking = querying.run({"embedder": {"text": question}})["retriever"]["documents"]
    rankings.append([[document.meta["title"], document.score] for document in ranking])
assert not {"tensorflow", "transformers"} & sys.modules.keys()
embedders = [pipeline.get_component("embedder") for pipeline in (indexing, querying)]
threads = [embedder.threads for embedder in embedders]
output = {"rankings": rankings, "embedders": list(map(repr, embedders)), "threads": threads}
(folder / "output.json").write_text(json.dumps(output))
"""
