"""The vectors of queries and documents are the core's."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document
from haystack.dataclasses import ByteStream
from haystack_checks import assert_same, vectors

from dpr_tiny_retriever import DualEncoder, Passage
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]

Titled = list[tuple[str, str]]


def test_a_query_becomes_a_list_of_python_floats(text_embedder: TinyDPRTextEmbedder, core: DualEncoder) -> None:
    result = text_embedder.run("Who wrote Middlemarch?")
    assert list(result) == ["embedding"]
    assert type(result["embedding"]) is list
    assert {type(value) for value in result["embedding"]} == {float}
    assert len(result["embedding"]) == text_embedder.embedding_dim == core.embedding_dim


def test_queries_get_the_vectors_of_the_query_encoder(
    text_embedder: TinyDPRTextEmbedder, core: DualEncoder, questions: dict[str, str]
) -> None:
    actual = [text_embedder.run(question)["embedding"] for question in questions]
    assert_same(actual, core.encode_queries(list(questions)))


def test_titled_documents_get_the_vectors_of_the_passage_encoder(
    document_embedder: TinyDPRDocumentEmbedder, core: DualEncoder, documents: list[Document], titled: Titled
) -> None:
    expected = core.encode_passages([Passage(title, text) for title, text in titled])
    assert_same(vectors(document_embedder, *documents), expected)


def test_queries_and_documents_have_different_encoders(
    text_embedder: TinyDPRTextEmbedder, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    query = text_embedder.run("blue blood")["embedding"]
    assert np.abs(query - vectors(document_embedder, Document(content="blue blood"))).max() > 0.01


def test_one_model_may_serve_both_sides(pair_directory: Path) -> None:
    one = pair_directory / "passage_encoder"
    query = TinyDPRTextEmbedder(one).run("blue blood")["embedding"]
    assert_same([query], vectors(TinyDPRDocumentEmbedder(one), Document(content="blue blood")))


def test_documents_come_back_as_copies_in_order_and_are_not_changed(
    document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]
) -> None:
    complete = Document(
        id="7",
        content="A document with every field.",
        score=0.5,
        embedding=[1.0, 2.0],
        meta={"title": None, "tags": ["a"]},
    )
    originals = [*documents, complete]
    before = copy.deepcopy(originals)
    embedded = document_embedder.run(originals)["documents"]
    assert originals == before
    assert all(new is not old for new, old in zip(embedded, originals, strict=True))
    restored = [
        replace(new, embedding=old.embedding, meta=old.meta) for new, old in zip(embedded, originals, strict=True)
    ]
    assert restored == before
    assert {type(value) for document in embedded for value in document.embedding or []} == {float}


def test_no_documents_give_no_documents(document_embedder: TinyDPRDocumentEmbedder) -> None:
    assert document_embedder.run([]) == {"documents": []}


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_batching_does_not_change_vectors(
    batch_size: int,
    document_embedder: TinyDPRDocumentEmbedder,
    documents: list[Document],
    pair_directory: Path,
) -> None:
    mixed = [*documents, Document(content=""), Document(content="word " * 300), documents[0]]
    batched = TinyDPRDocumentEmbedder(pair_directory, batch_size=batch_size)
    assert_same(vectors(batched, *mixed), vectors(document_embedder, *mixed))


@pytest.mark.parametrize("meta", [{}, {"title": None}, {"title": ""}, {"title": "  "}])
def test_a_document_without_a_title_is_its_text_alone(
    meta: dict[str, Any], document_embedder: TinyDPRDocumentEmbedder, core: DualEncoder
) -> None:
    untitled = Document(content="It has three hearts.", meta=meta)
    assert_same(vectors(document_embedder, untitled), core.encode_passages(["It has three hearts."]))


def test_title_meta_field_names_the_field_of_the_title(pair_directory: Path, core: DualEncoder) -> None:
    named = Document(content="It has three hearts.", meta={"name": "Octopus", "title": "not this"})
    expected = core.encode_passages([Passage("Octopus", "It has three hearts.")])
    assert_same(vectors(TinyDPRDocumentEmbedder(pair_directory, "name"), named), expected)


def test_title_meta_field_none_embeds_no_title(
    pair_directory: Path, core: DualEncoder, documents: list[Document], titled: Titled
) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory, title_meta_field=None)
    assert_same(vectors(embedder, *documents), core.encode_passages([text for _, text in titled]))


def test_meta_fields_precede_the_content_in_their_order(pair_directory: Path, core: DualEncoder) -> None:
    embedder = TinyDPRDocumentEmbedder(
        pair_directory, meta_fields_to_embed=["year", "missing", "place", "none"], embedding_separator=" | "
    )
    document = Document(content="text", meta={"title": "T", "place": "Rome", "year": 1984, "none": None})
    assert_same(vectors(embedder, document), core.encode_passages([Passage("T", "1984 | Rome | text")]))


def test_the_title_among_the_meta_fields_is_not_embedded_twice(pair_directory: Path, core: DualEncoder) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory, meta_fields_to_embed=["title", "year"])
    document = Document(content="text", meta={"title": "T", "year": 1984})
    assert_same(vectors(embedder, document), core.encode_passages([Passage("T", "1984\ntext")]))


def test_without_a_title_field_the_title_may_be_among_the_meta_fields(pair_directory: Path, core: DualEncoder) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory, title_meta_field=None, meta_fields_to_embed=["title"])
    document = Document(content="text", meta={"title": "T"})
    assert_same(vectors(embedder, document), core.encode_passages(["T\ntext"]))


def test_a_meta_field_may_replace_missing_content(pair_directory: Path, core: DualEncoder) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory, meta_fields_to_embed=["caption"])
    image = Document(blob=ByteStream(b"\x89PNG"), meta={"title": "T", "caption": "Ships in a harbour."})
    assert_same(vectors(embedder, image), core.encode_passages([Passage("T", "Ships in a harbour.")]))


def test_prefix_and_suffix_enclose_the_text_but_not_the_title(pair_directory: Path, core: DualEncoder) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory, prefix="text: ", suffix=" (end)", meta_fields_to_embed=["year"])
    document = Document(content="text", meta={"title": "T", "year": 1984})
    assert_same(vectors(embedder, document), core.encode_passages([("T", "text: 1984\ntext (end)")]))


def test_prefix_and_suffix_enclose_a_query(pair_directory: Path, core: DualEncoder) -> None:
    embedder = TinyDPRTextEmbedder(pair_directory, prefix="query: ", suffix="?")
    assert_same([embedder.run("who")["embedding"]], core.encode_queries(["query: who?"]))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling_reaches_the_model(
    pooling: Any, pair_directory: Path, documents: list[Document], titled: Titled
) -> None:
    core = DualEncoder.from_pretrained(pair_directory, pooling=pooling)
    embedder = TinyDPRDocumentEmbedder(pair_directory, pooling=pooling)
    assert_same(vectors(embedder, *documents), core.encode_passages(titled))
    query = TinyDPRTextEmbedder(pair_directory, pooling=pooling).run("who")["embedding"]
    assert_same([query], core.encode_queries(["who"]))


def test_normalize_embeddings_gives_unit_length(
    pair_directory: Path, core: DualEncoder, documents: list[Document], titled: Titled
) -> None:
    passages = core.encode_passages(titled)
    embedder = TinyDPRDocumentEmbedder(pair_directory, normalize_embeddings=True)
    assert_same(vectors(embedder, *documents), passages / np.linalg.norm(passages, axis=1, keepdims=True))
    query = TinyDPRTextEmbedder(pair_directory, normalize_embeddings=True).run("who")["embedding"]
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)


def test_a_model_that_normalizes_does_so_by_default(pair_directory: Path, core: DualEncoder, tmp_path: Path) -> None:
    DualEncoder.from_pretrained(pair_directory, normalize=True).save_pretrained(tmp_path)
    scaled = TinyDPRTextEmbedder(tmp_path).run("who")["embedding"]
    assert np.linalg.norm(scaled) == pytest.approx(1, abs=1e-5)
    unscaled = TinyDPRTextEmbedder(tmp_path, normalize_embeddings=False).run("who")["embedding"]
    assert_same([unscaled], core.encode_queries(["who"]))


def test_max_length_truncates_texts(pair_directory: Path) -> None:
    embedder = TinyDPRDocumentEmbedder(pair_directory, max_length=8)
    long, longer = vectors(embedder, Document(content="word " * 50), Document(content="word " * 50 + "end"))
    assert_same(long, longer)


def test_a_progress_bar_is_shown_when_asked_for(
    pair_directory: Path, documents: list[Document], capfd: pytest.CaptureFixture[str]
) -> None:
    TinyDPRTextEmbedder(pair_directory).run("who")
    TinyDPRDocumentEmbedder(pair_directory).run(documents)
    assert "%|" not in capfd.readouterr().err
    TinyDPRDocumentEmbedder(pair_directory, progress_bar=True).run(documents)
    assert "%|" in capfd.readouterr().err
