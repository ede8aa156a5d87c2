"""Chroma's embedding function: separate encoders for queries and titled documents, restored with a collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import chromadb
import pytest
from ranked_passages import QUESTIONS, RankedPassages

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from dpr_tiny_retriever.adapters.chroma import TinyDPREmbeddingFunction

pytestmark = pytest.mark.vector_stores


@pytest.fixture
def client(tmp_path: Path) -> chromadb.ClientAPI:
    return chromadb.PersistentClient(str(tmp_path / "chroma"))


@pytest.fixture(scope="module")
def function() -> TinyDPREmbeddingFunction:
    return TinyDPREmbeddingFunction()


@pytest.fixture(scope="module")
def dot_function(pair_directory: Path) -> TinyDPREmbeddingFunction:
    return TinyDPREmbeddingFunction(pair_directory)


def fill(collection: chromadb.Collection, function: TinyDPREmbeddingFunction, ranked: RankedPassages) -> None:
    ids, passages = list(ranked.passages), list(ranked.passages.values())
    metadatas = [{"title": passage.title, "colour": passage.colour} for passage in passages]
    documents = [passage.text for passage in passages]
    collection.upsert(ids, function.embed_titled(documents, metadatas), metadatas, documents)


@pytest.mark.parametrize(
    ("dot", "exact_dot", "space"),
    [(False, False, "cosine"), (False, False, "l2"), (True, False, "ip"), (True, True, "cosine"), (True, True, "l2")],
)
def test_a_collection_is_ranked_filtered_updated_and_reduced_as_every_vector_says(
    dot: bool, exact_dot: bool, space: str, client: chromadb.ClientAPI, pair_directory: Path
) -> None:
    function = TinyDPREmbeddingFunction(pair_directory if dot else None, exact_dot=exact_dot)
    ranked = RankedPassages(function.encoder)
    collection = function.collection(client, "passages", configuration={"hnsw": {"space": space}})
    fill(collection, function, ranked)
    changed, *gone = ranked.ids(8, 3, 11, 23)
    ranked.retitle(changed, "Another Title")
    ranked.remove(gone)
    collection.delete(gone)
    fill(collection, function, ranked)
    hits = client.get_collection("passages").query(query_texts=QUESTIONS, n_results=10)
    for question, found in zip(QUESTIONS, hits["ids"], strict=True):
        ranked.check(question, found)
    green = collection.query(query_texts=QUESTIONS[:1], n_results=5, where={"colour": "green"})
    ranked.check(QUESTIONS[0], green["ids"][0], 5, "green")
    titles = [metadata["title"] for metadata in green["metadatas"][0]]
    assert titles == [ranked.passages[id].title for id in green["ids"][0]]


REOPEN = """
import sys, chromadb, dpr_tiny_retriever.adapters.chroma
collection = chromadb.PersistentClient(sys.argv[1]).get_collection("passages")
print(collection.query(query_texts=[sys.argv[2]], n_results=1)["ids"][0][0])
"""


def test_a_fresh_process_finds_the_function_in_the_collection(
    tmp_path: Path, function: TinyDPREmbeddingFunction
) -> None:
    client = chromadb.PersistentClient(str(tmp_path / "chroma"))
    ranked = RankedPassages(function.encoder)
    fill(function.collection(client, "passages"), function, ranked)
    command = [sys.executable, "-c", REOPEN, str(tmp_path / "chroma"), QUESTIONS[0]]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    ranked.check(QUESTIONS[0], run.stdout.split(), 1)


def test_queries_and_documents_have_an_encoder_each(function: TinyDPREmbeddingFunction) -> None:
    [query], [document] = function.embed_query(["a river"]), function(["a river"])
    assert query.tolist() == function.encoder.encode_queries(["a river"])[0].tolist()
    assert document.tolist() == function.encoder.encode_passages(["a river"])[0].tolist()
    with pytest.raises(ValueError, match="found 1 documents and 2 metadatas; expected one for each"):
        function.embed_titled(["text"], [None, None])


def test_vectors_of_another_model_are_refused(
    client: chromadb.ClientAPI, function: TinyDPREmbeddingFunction, dot_function: TinyDPREmbeddingFunction
) -> None:
    collection = function.collection(client, "passages", metadata={"owner": "me"})
    stamp = str(function.encoder.stamp)
    assert collection.metadata == {"owner": "me", STAMP_KEY: stamp}
    assert function.collection(client, "passages").metadata == collection.metadata
    with pytest.raises(ModelMismatchError, match=f"{stamp}.*{dot_function.encoder.stamp}.*another model"):
        dot_function.collection(client, "passages")
    with pytest.raises(ModelMismatchError, match="make another collection"):
        collection.modify(configuration={"embedding_function": dot_function})


def test_a_model_that_has_changed_since_is_named(client: chromadb.ClientAPI, pair_directory: Path) -> None:
    function = TinyDPREmbeddingFunction(pair_directory, backend="numpy", token=False)
    config = function.get_config()
    assert config == {
        "model": str(pair_directory),
        "backend": "numpy",
        "fingerprint": function.encoder.fingerprint(),
    }
    assert TinyDPREmbeddingFunction.build_from_config(config).get_config() == config
    with pytest.raises(ModelMismatchError, match=f"{config['fingerprint']}; expected 0123"):
        TinyDPREmbeddingFunction.build_from_config({**config, "fingerprint": "0123"})
    assert TinyDPREmbeddingFunction().get_config()["model"].startswith("bundled@")


def test_a_space_that_would_rank_otherwise_is_refused(
    client: chromadb.ClientAPI, dot_function: TinyDPREmbeddingFunction
) -> None:
    assert dot_function.collection(client, "by-default").configuration["hnsw"]["space"] == "ip"
    with (
        pytest.warns(UserWarning, match="space l2 is not supported by dpr_tiny"),
        pytest.raises(ValueError, match=r"ranks by 'l2', this pair by dot; expected the space 'ip'.*exact_dot=True"),
    ):
        dot_function.collection(client, "distances", configuration={"hnsw": {"space": "l2"}})
