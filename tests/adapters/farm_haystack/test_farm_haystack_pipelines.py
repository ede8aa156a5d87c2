"""Pipelines: indexing, querying, YAML, and an index on disk that a fresh process reads."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import haystack
import numpy as np
import pytest
import yaml
from haystack import Document, Pipeline
from haystack.document_stores import FAISSDocumentStore
from haystack.errors import HaystackError

from dpr_tiny_retriever import ModelMismatchError
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever
from dpr_tiny_retriever.checkpoints.bundled_pairs import released_name

pytestmark = pytest.mark.farm_haystack

OpenStore = Callable[..., FAISSDocumentStore]


def titles(documents: list[Document]) -> list[str]:
    return [document.meta["name"] for document in documents]


def as_node(retriever: TinyDPRRetriever) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_node(retriever, name="Retriever", inputs=["Query"])
    return pipeline


def test_an_indexing_pipeline_embeds_documents_for_a_store(
    open_store: OpenStore, minilm_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    store = open_store()
    retriever = TinyDPRRetriever(store, minilm_directory)
    indexing = Pipeline()
    indexing.add_node(retriever, name="Retriever", inputs=["File"])
    indexing.add_node(store, name="Store", inputs=["Retriever"])
    expected = retriever.embed_documents(documents)
    indexing.run(documents=documents[:7])
    indexing.run_batch(documents=documents[7:])
    assert store.get_embedding_count() == 12
    stored = {document.id: document.embedding for document in store.get_all_documents(return_embedding=True)}
    np.testing.assert_allclose([stored[document.id] for document in documents], expected, atol=1e-5)

    querying = as_node(TinyDPRRetriever(store, minilm_directory))
    for question, title in questions.items():
        output = querying.run(query=question, params={"Retriever": {"top_k": 2}})
        assert len(output["documents"]) == 2
        assert titles(output["documents"])[0] == title
        assert output["query"] == question


def test_a_query_pipeline_answers_a_batch_and_passes_parameters_on(
    store: FAISSDocumentStore,
    minilm_directory: Path,
    questions: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = as_node(TinyDPRRetriever(store, minilm_directory))
    output = pipeline.run_batch(queries=list(questions), params={"Retriever": {"top_k": 1}})
    assert [titles(found) for found in output["documents"]] == [[title] for title in questions.values()]
    raw = pipeline.run(query="ships", params={"Retriever": {"scale_score": False, "index": "document"}})
    assert raw["documents"][0].score < 0.5 <= pipeline.run(query="ships")["documents"][0].score
    with caplog.at_level(logging.WARNING):
        pipeline.run(query="ships", params={"filters": {"topic": ["food"]}})
    assert "filters are not implemented" in caplog.text
    with pytest.raises(Exception, match="top_k is 0; expected 1 or more"):
        pipeline.run(query="ships", params={"Retriever": {"top_k": 0}})


def test_a_pipeline_refuses_anything_but_a_str_as_query(store: FAISSDocumentStore, minilm_directory: Path) -> None:
    retriever = TinyDPRRetriever(store, minilm_directory)
    with pytest.raises(HaystackError, match="Must provide a 'query'"):
        retriever.run(root_node="Query")
    with pytest.raises(TypeError, match="query 0 is int 5; expected str"):
        retriever.run(root_node="Query", query=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="query 1 is None; expected str"):
        retriever.run_batch(root_node="Query", queries=["ships", None])  # type: ignore[list-item]


def test_yaml_keeps_every_parameter(tmp_path: Path, pair_directory: Path) -> None:
    parameters: dict[str, Any] = {
        "query_embedding_model": pair_directory / "query_encoder",
        "passage_embedding_model": pair_directory / "passage_encoder",
        "top_k": 3,
        "title_field": "heading",
        "embed_title": False,
        "max_seq_len_query": 20,
        "max_seq_len_passage": 40,
        "use_gpu": False,
        "batch_size": 4,
        "progress_bar": False,
        "scale_score": False,
        "local_files_only": True,
        "pooling": "mean",
        "normalize": True,
        "precision": "float32",
        "backend": "numpy",
        "threads": 1,
        "exact_dot": False,
        "stamp_documents": False,
        "on_mismatch": "warn",
    }
    before = TinyDPRRetriever(**parameters)
    as_node(before).save_to_yaml(tmp_path / "pipeline.yaml")
    after = Pipeline.load_from_yaml(tmp_path / "pipeline.yaml").get_node("Retriever")
    for name in (
        "top_k",
        "title_field",
        "embed_title",
        "use_gpu",
        "batch_size",
        "progress_bar",
        "scale_score",
        "stamp_documents",
        "on_mismatch",
    ):
        assert getattr(after, name) == parameters[name]
    assert (after.encoder.query_encoder.max_length, after.encoder.passage_encoder.max_length) == (20, 40)
    assert after.get_params() == before.get_params()
    np.testing.assert_allclose(after.embed_queries(["who"]), before.embed_queries(["who"]), atol=1e-5)


def test_yaml_may_leave_parameters_out_or_set_them_to_null(tmp_path: Path, pair_directory: Path) -> None:
    optional = ("document_store", "query_embedding_model", "passage_embedding_model", "model_version")
    optional += (
        "fingerprint",
        "devices",
        "max_seq_len_query",
        "max_seq_len_passage",
        "batch_size",
        "use_auth_token",
        "pooling",
        "normalize",
        "threads",
    )
    for parameters in ({}, dict.fromkeys(optional)):
        node = {
            "name": "R",
            "type": "TinyDPRRetriever",
            "params": {"model": str(pair_directory), **parameters},
        }
        config = {
            "version": "1.26.4.post0",
            "components": [node],
            "pipelines": [{"name": "query", "nodes": [{"name": "R", "inputs": ["Query"]}]}],
        }
        (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config))
        loaded = Pipeline.load_from_yaml(tmp_path / "pipeline.yaml").get_node("R")
        assert loaded.embed_queries(["who"]).shape == (1, 128)


def test_yaml_of_dense_passage_retriever_loads_under_the_other_class_name(pair_directory: Path) -> None:
    parameters = {
        "query_embedding_model": str(pair_directory / "query_encoder"),
        "passage_embedding_model": str(pair_directory / "passage_encoder"),
        "max_seq_len_query": 64,
        "max_seq_len_passage": 256,
        "batch_size": 16,
        "use_fast_tokenizers": True,
        "similarity_function": "dot_product",
        "global_loss_buffer_size": 150000,
        "devices": ["cuda:0"],
    }
    node = {"name": "R", "type": "TinyDPRRetriever", "params": parameters}
    query = {"name": "query", "nodes": [{"name": "R", "inputs": ["Query"]}]}
    config = {"version": haystack.__version__, "components": [node], "pipelines": [query]}
    with pytest.warns(UserWarning, match=r"devices is \['cuda:0'\], which changes nothing here: they are torch's"):
        loaded = Pipeline.load_from_config(config).get_node("R")
    assert loaded.embed_queries(["who"]).shape == (1, 128)


@pytest.mark.parametrize("model", [None, "bundled-L12"])
def test_yaml_names_a_bundled_pair_with_its_release_and_fingerprint(model: str | None, tmp_path: Path) -> None:
    retriever = TinyDPRRetriever(model=model, backend="numpy")
    as_node(retriever).save_to_yaml(tmp_path / "pipeline.yaml")
    config = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    [node] = config["components"]
    assert node["params"]["model"] == released_name(model)
    assert node["params"]["fingerprint"] == retriever.encoder.fingerprint(model_only=True)
    node["params"]["max_seq_len_passage"] = 100  # another length is no other model
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config))
    assert Pipeline.load_from_yaml(tmp_path / "pipeline.yaml").get_node("Retriever").encoder.embedding_dim == 128
    node["params"]["fingerprint"] = "0" * 32
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(HaystackError) as caught:
        Pipeline.load_from_yaml(tmp_path / "pipeline.yaml")
    assert isinstance(caught.value.__cause__, ModelMismatchError)


FRESH_PROCESS = """
import json, sys
from pathlib import Path
from haystack import Pipeline
import dpr_tiny_retriever.adapters.farm_haystack

folder, questions = Path(sys.argv[1]), json.loads(sys.argv[2])
pipeline = Pipeline.load_from_yaml(folder / "pipeline.yaml")
retriever = pipeline.get_node("Retriever")
retriever = type(retriever).load(folder / "pair", retriever.document_store, top_k=3)
as_hits = lambda documents: [[document.id, document.score] for document in documents]
print(json.dumps({
    "reopened": [as_hits(retriever.retrieve(question)) for question in questions],
    "from_yaml": [as_hits(pipeline.run(query=question)["documents"]) for question in questions],
    "backend": pipeline.get_node("Retriever").encoder.backend,
    "from_yaml_in_batch": [as_hits(found) for found in pipeline.run_batch(queries=questions)["documents"]],
}))
"""


def test_a_fresh_process_finds_what_this_one_finds(
    tmp_path: Path,
    open_store: OpenStore,
    pair_directory: Path,
    documents: list[Document],
    questions: dict[str, str],
) -> None:
    store = open_store(embedding_dim=128)
    retriever = TinyDPRRetriever(store, pair_directory, top_k=3, backend="numpy", threads=1)
    store.write_documents(documents)
    store.update_embeddings(retriever)
    expected = [
        [[document.id, pytest.approx(document.score)] for document in retriever.retrieve(question)]
        for question in questions
    ]
    store.save(tmp_path / "index.faiss")
    retriever.save(tmp_path / "pair")
    config = as_node(retriever).get_config()
    # Haystack records how the store was created; to open it again, name its files.
    [component] = [component for component in config["components"] if component["type"] == "FAISSDocumentStore"]
    component["params"] = {"faiss_index_path": str(tmp_path / "index.faiss")}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config))

    arguments = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path), json.dumps(list(questions))]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    printed = json.loads(run.stdout.splitlines()[-1])
    assert printed["reopened"] == expected
    assert printed["from_yaml"] == expected
    assert printed["from_yaml_in_batch"] == expected
    assert printed["backend"] == "numpy"
