"""Titles of split documents are embedded, and unused titles are warned of."""

import logging
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.components.preprocessors import DocumentSplitter
from haystack_checks import assert_same, vectors

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]


def warnings_of(
    caplog: pytest.LogCaptureFixture, embedder: TinyDPRDocumentEmbedder, *batches: list[Document]
) -> list[str]:
    with caplog.at_level(logging.WARNING):
        for batch in batches:
            embedder.run(batch)
    return [record.getMessage() for record in caplog.records]


def of(*metas: dict[str, Any]) -> list[Document]:
    return [Document(content=f"text {number}", meta=meta) for number, meta in enumerate(metas)]


@pytest.mark.parametrize("name", ["Title", "name", "heading", "page_title", "Header 1"])
def test_titles_in_another_meta_field_are_warned_of_once(
    name: str, small_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = of({name: "River", "page": 1}, {name: "Tower", "page": 2})
    [warning] = warnings_of(caplog, TinyDPRDocumentEmbedder(small_directory), documents, documents)
    assert "No title of 2 documents is embedded, since title_meta_field is 'title'" in warning
    assert f"TinyDPRDocumentEmbedder(title_meta_field={name!r})" in warning


def test_titles_that_title_meta_field_none_leaves_out_are_warned_of(
    small_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = TinyDPRDocumentEmbedder(small_directory, title_meta_field=None)
    [warning] = warnings_of(caplog, embedder, of({"title": "River"}))
    assert "title_meta_field is None, but meta['title'] seems to hold titles" in warning


@pytest.mark.parametrize(
    ("options", "metas"),
    [
        ({}, [{"title": "River", "name": "river.txt"}, {"name": "tower.txt"}]),
        ({}, [{}, {"author": "Ada"}]),
        ({}, [{"title": "  "}, {"name": ""}, {"heading": 3}]),
        ({}, [{"name": "River"}, {}, {}]),
        ({"title_meta_field": "name"}, [{"title": "River", "name": "Thames"}]),
        ({"title_meta_field": None, "meta_fields_to_embed": ["title"]}, [{"title": "River"}]),
    ],
    ids=["titled", "nothing like a title", "blank", "in few documents only", "named", "embedded as text"],
)
def test_nothing_is_said_where_titles_are_embedded_or_there_are_none(
    options: dict[str, Any], metas: list[dict[str, Any]], small_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings_of(caplog, TinyDPRDocumentEmbedder(small_directory, **options), of(*metas)) == []


def test_each_chunk_of_a_titled_document_is_embedded_with_its_title(document_embedder: TinyDPRDocumentEmbedder) -> None:
    splitter = DocumentSplitter(split_by="word", split_length=5)
    splitter.warm_up()
    chunks = splitter.run(
        [Document(content="A river is wide. It meets the sea. Who wrote it? " * 3, meta={"title": "A"})]
    )
    assert len(chunks["documents"]) > 2
    expected = [Document(content=chunk.content, meta={"title": "A"}) for chunk in chunks["documents"]]
    assert_same(vectors(document_embedder, *chunks["documents"]), vectors(document_embedder, *expected))
