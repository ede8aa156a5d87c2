"""LlamaIndex: titles from node metadata, separate encoders for queries and nodes, serialization."""

from __future__ import annotations

import asyncio
import copy
import pickle
import warnings
from pathlib import Path

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from ranked_passages import QUESTIONS, RankedPassages

from dpr_tiny_retriever import DualEncoder, ModelMismatchError
from dpr_tiny_retriever.adapters.llama_index import TinyDPREmbedding, title_and_text

pytestmark = pytest.mark.vector_stores


@pytest.fixture(scope="module")
def bundled() -> TinyDPREmbedding:
    return TinyDPREmbedding()


def nodes_of(ranked: RankedPassages) -> list[TextNode]:
    """Nodes with titles in their metadata; the colour is excluded from embedding."""
    return [
        TextNode(
            id_=id,
            text=text,
            metadata={"title": title, "colour": colour},
            excluded_embed_metadata_keys=["colour"],
        )
        for id, (title, text, colour) in ranked.passages.items()
    ]


@pytest.mark.parametrize("kind", ["bundled", "exact_dot"])
def test_an_index_is_stored_reopened_filtered_updated_and_reduced(
    kind: str, bundled: TinyDPREmbedding, pair_directory: Path, tmp_path: Path
) -> None:
    embed_model = bundled if kind == "bundled" else TinyDPREmbedding(pair_directory, exact_dot=True)
    ranked = RankedPassages(embed_model.encoder)
    VectorStoreIndex(nodes_of(ranked), embed_model=embed_model).storage_context.persist(str(tmp_path))
    storage = StorageContext.from_defaults(persist_dir=str(tmp_path))
    index = load_index_from_storage(storage, embed_model=embed_model)
    changed, *gone = ranked.ids(8, 3, 11, 23)
    ranked.retitle(changed, "Another Title")
    ranked.remove(gone)
    index.delete_nodes([changed, *gone])
    index.insert_nodes([node for node in nodes_of(ranked) if node.id_ == changed])
    green = MetadataFilters(filters=[MetadataFilter(key="colour", value="green")])
    for question in QUESTIONS:
        found = index.as_retriever(similarity_top_k=10).retrieve(question)
        similarities = ranked.check(question, [hit.node.id_ for hit in found])
        if kind == "bundled":
            assert [hit.score for hit in found] == pytest.approx(similarities, abs=1e-4)
        found = index.as_retriever(similarity_top_k=5, filters=green).retrieve(question)
        ranked.check(question, [hit.node.id_ for hit in found], 5, "green")


def test_every_chunk_of_a_document_has_its_title(bundled: TinyDPREmbedding) -> None:
    text = " ".join(f"Sentence {number} says little." for number in range(60))
    document = Document(text=text, metadata={"file": "a.txt", "title": "Lighthouse"})
    # nltk, which is the default, refuses files with several hard links, as uv makes them.
    splitter = SentenceSplitter(chunk_size=99, chunk_overlap=0, chunking_tokenizer_fn=lambda text: text.split("  "))
    nodes = IngestionPipeline(transformations=[splitter, bundled]).run(documents=[document])
    assert len(nodes) > 2
    passages = [("Lighthouse", f"file: a.txt\n\n{node.get_content(MetadataMode.NONE)}") for node in nodes]
    expected = bundled.encoder.encode_passages(passages).tolist()
    assert [node.embedding for node in nodes] == [pytest.approx(vector, abs=1e-5) for vector in expected]


@pytest.mark.parametrize(
    ("metadata", "title", "text"),
    [
        ({"title": "River"}, "River", "It is wide.\n\nAnd deep."),
        ({"year": 1999, "title": "River: a life", "by": "X"}, "River: a life", "year: 1999\nby: X\n\n{}"),
        ({"title": ""}, "", "{}"),
        ({"title": None, "by": "X"}, "", "by: X\n\n{}"),
        ({"by": "X"}, "", "by: X\n\n{}"),
        ({}, "", "{}"),
    ],
)
def test_the_title_leaves_the_text_and_nothing_else_does(metadata: dict[str, object], title: str, text: str) -> None:
    content = "It is wide.\n\nAnd deep."
    node = TextNode(text=content, metadata=metadata)
    embedded = node.get_content(MetadataMode.EMBED)
    assert title_and_text(embedded, "title") == (title, text.format(content))
    assert title_and_text(embedded, None) == ("", embedded)


def test_a_text_that_only_looks_like_metadata_is_left_alone() -> None:
    for text in ("A poem\ntitle: River\n\nIt is wide.", "title: River", "subtitle: River\n\nIt is wide."):
        assert title_and_text(text, "title") == ("", text)


def test_async_gives_the_same_vectors(bundled: TinyDPREmbedding) -> None:
    async def embedded() -> list[list[float]]:
        return [
            await bundled.aget_query_embedding("a river"),
            await bundled.aget_text_embedding("a river"),
            *await bundled.aget_text_embedding_batch(["a river", "title: River\n\nwide"]),
        ]

    encoder = bundled.encoder
    [query] = encoder.encode_queries(["a river"])
    text, titled = encoder.encode_passages(["a river", ("River", "wide")])
    for found, expected in zip(asyncio.run(embedded()), [query, text, text, titled], strict=True):
        assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_it_is_written_down_without_a_token_and_loaded_by_fingerprint(pair_directory: Path) -> None:
    embed_model = TinyDPREmbedding(pair_directory, normalize=True, title_key="name", token="hf_secret", num_workers=2)
    written = embed_model.to_json()
    assert "hf_secret" not in written
    for copied in (
        TinyDPREmbedding.from_json(written),
        pickle.loads(pickle.dumps(embed_model)),
        copy.deepcopy(embed_model),
    ):
        assert copied.to_dict() == embed_model.to_dict()
        assert copied.get_query_embedding("a river") == embed_model.get_query_embedding("a river")
    assert (embed_model.model_name, embed_model.num_workers) == (pair_directory.name, 2)
    with pytest.raises(ModelMismatchError, match="expected 0123"):
        TinyDPREmbedding.from_dict({**embed_model.to_dict(), "fingerprint": "0123"})
    assert TinyDPREmbedding().to_dict()["model"].startswith("bundled@")


def test_what_would_go_wrong_in_silence_is_said(pair_directory: Path) -> None:
    with pytest.warns(UserWarning, match=r"compared by dot product.*SimpleVectorStore.*exact_dot=True"):
        dot = TinyDPREmbedding(pair_directory)
    assert isinstance(dot.encoder, DualEncoder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TinyDPREmbedding(pair_directory, exact_dot=True)
        TinyDPREmbedding(pair_directory, normalize=True)
    with pytest.raises(ValueError, match=r"embeddings_cache is given.*whether it is a question or a document"):
        TinyDPREmbedding(pair_directory, embeddings_cache=SimpleKVStore())
    with pytest.raises(TypeError, match="there is no option title_separator"):
        TinyDPREmbedding(pair_directory, title_separator=" | ")
