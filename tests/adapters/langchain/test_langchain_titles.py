"""Titles travel inside texts: `join_titles` writes them, `split_titles` takes them out, embeddings read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, join_titles, split_titles

pytestmark = pytest.mark.langchain

# A small alphabet, so that separators overlap titles and texts in every way.
letters = st.text("a|: ", max_size=6)
separators = st.text("a|: ", min_size=1, max_size=3)
untitled = st.sampled_from([{}, {"title": None}, {"title": ""}])
metadata = st.one_of(untitled, letters.map(lambda title: {"title": title, "page": 3}))


@given(st.lists(st.tuples(letters, metadata), max_size=4), separators)
def test_split_titles_restores_every_document_that_join_titles_accepts(
    contents: list[tuple[str, dict[str, Any]]], separator: str
) -> None:
    documents = [
        Document(page_content=text, metadata=metadata, id=f"id-{number}")
        for number, (text, metadata) in enumerate(contents)
    ]
    titles = [document.metadata.get("title") or "" for document in documents]
    if any((title + separator).find(separator) < len(title) for title in titles):
        with pytest.raises(ValueError, match="separator"):
            join_titles(documents, title_separator=separator)
    else:
        joined = join_titles(documents, title_separator=separator)
        assert split_titles(joined, title_separator=separator) == documents


@given(letters, letters, separators)
def test_a_title_that_stands_only_in_the_text_goes_into_the_metadata(title: str, text: str, separator: str) -> None:
    assume(title)
    assume((title + separator).find(separator) == len(title))
    [split] = split_titles([Document(page_content=title + separator + text)], title_separator=separator)
    assert (split.page_content, split.metadata) == (text, {"title": title})


def test_the_title_precedes_the_separator_and_the_text_follows_it() -> None:
    [joined] = join_titles(
        [Document(page_content="The sea rises.", metadata={"title": "Tides"}, id="7")], title_separator=" | "
    )
    assert joined == Document(page_content="Tides | The sea rises.", metadata={"title": "Tides"}, id="7")


@pytest.mark.parametrize("metadata", [{}, {"title": None}, {"title": ""}, {"name": "Tides"}])
def test_a_document_without_title_keeps_its_text(metadata: dict[str, Any]) -> None:
    document = Document(page_content="The sea rises.", metadata=metadata)
    assert join_titles([document], title_separator=" | ") == [document]
    assert split_titles([document], title_separator=" | ") == [document]


def test_a_separator_in_a_text_without_title_makes_no_title(embeddings: TinyDPREmbeddings) -> None:
    [joined] = join_titles([Document(page_content="sea | moon")], title_separator=" | ")
    assert joined.page_content == " | sea | moon"
    [vector] = embeddings.embed_documents([joined.page_content])
    np.testing.assert_allclose(vector, embeddings.encoder.encode_passages(["sea | moon"])[0], atol=1e-6)


def test_title_key_names_the_metadata_of_the_title() -> None:
    document = Document(page_content="The sea rises.", metadata={"name": "Tides", "title": "chapter 3"})
    joined = join_titles([document], title_separator=": ", title_key="name")
    assert joined[0].page_content == "Tides: The sea rises."
    assert split_titles(joined, title_separator=": ", title_key="name") == [document]


def test_the_original_documents_are_not_changed() -> None:
    document = Document(page_content="The sea rises.", metadata={"title": "Tides"})
    [joined] = join_titles([document], title_separator=" | ")
    joined.metadata["title"] = "changed"
    [split] = split_titles([Document(page_content="Tides | The sea rises.")], title_separator=" | ")
    split.metadata["title"] = "changed"
    assert document == Document(page_content="The sea rises.", metadata={"title": "Tides"})


@pytest.mark.parametrize(("title", "separator"), [("AC/DC", "/"), ("a:", "::")])
def test_a_title_that_contains_the_separator_is_refused(title: str, separator: str) -> None:
    documents = [Document(page_content="sea"), Document(page_content="moon", metadata={"title": title})]
    with pytest.raises(ValueError, match=f"title of document 1, {title!r}, .* separator {separator!r}"):
        join_titles(documents, title_separator=separator)


def test_splitting_a_text_that_was_never_joined_is_refused() -> None:
    document = Document(page_content="Note: the sea rises.", metadata={"title": "Tides"})
    with pytest.raises(ValueError, match=r"document 0 has the title 'Tides' in its metadata.*'Note'"):
        split_titles([document], title_separator=": ")


@pytest.mark.parametrize("change", [join_titles, split_titles])
def test_titles_and_documents_of_the_wrong_type_are_refused(change: Any) -> None:
    with pytest.raises(TypeError, match=r"metadata\['title'\] of document 0 is int 1984; expected str or None"):
        change([Document(page_content="sea", metadata={"title": 1984})], title_separator=" | ")
    with pytest.raises(TypeError, match="document 1 is str; expected a LangChain Document"):
        change([Document(page_content="sea"), "moon"], title_separator=" | ")
    with pytest.raises(TypeError, match="expected a LangChain Document"):
        change(Document(page_content="sea"), title_separator=" | ")
    with pytest.raises(ValueError, match="title_separator is empty"):
        change([], title_separator="")
    with pytest.raises(TypeError, match="title_separator is None"):
        change([], title_separator=None)
