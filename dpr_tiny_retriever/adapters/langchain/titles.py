"""Where the title of a LangChain document is, and where it seems to be while nobody looks there."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from dpr_tiny_retriever.passage import Passage

#: Keys under which loaders and splitters put what is a title, as they are after _simple.
_LIKELY_KEYS = (
    "title",
    "name",
    "heading",
    "headline",
    "sourcetitle",
    "documenttitle",
    "doctitle",
    "pagetitle",
    "header1",
)
#: How a vector store calls the embeddings when it adds documents: functions that hold them, and by which names.
_ADDING = frozenset({"add_documents", "add_texts", "from_documents", "from_texts"})
_MOST_FRAMES = 12


def title_of(document: Document, position: int, key: str | None) -> str:
    """The document's title, "" where it has none or key is None.

    Raises TypeError, which names the document's position, for what is no document and a title that is not a str.
    """
    if not isinstance(document, Document):
        raise TypeError(f"document {position} is {type(document).__name__}; expected a LangChain Document")
    title = None if key is None else document.metadata.get(key)
    if title is not None and not isinstance(title, str):
        raise TypeError(
            f"metadata[{key!r}] of document {position} is {type(title).__name__} {title!r}; "
            "expected str or None: convert it, or name another key as title_key"
        )
    return title or ""


def check_title_key(title_key: object) -> None:
    """Raise TypeError or ValueError for what is no key of metadata; None is none."""
    if title_key is not None and not isinstance(title_key, str):
        raise TypeError(f"title_key is {title_key!r}; expected a key of the metadata, such as 'title', or None")
    if title_key == "":
        raise ValueError("title_key is empty; expected a key of the metadata, such as 'title', or None for no titles")


def likely_title_key(metadatas: Iterable[Mapping[str, Any]], *, unless: str | None = None) -> str | None:
    """The key under which most of these documents have what seems a title; None also where any has the key `unless`."""
    found: dict[str, int] = {}
    count = 0
    for metadata in metadatas:
        count += 1
        for key, value in metadata.items():
            if isinstance(value, str) and value.strip():
                if key == unless:
                    return None
                found[key] = found.get(key, 0) + 1
    likely = {key: _simple(key) for key, times in found.items() if 2 * times > count and _simple(key) in _LIKELY_KEYS}
    return min(likely, key=lambda key: _LIKELY_KEYS.index(likely[key]), default=None)


def titles_left_behind() -> str | None:
    """The key of titles in the metadata of documents that a plain vector store is having embedded right now.

    LangChain gives embeddings the texts alone. The metadata is in the hands of the store's function that calls them.
    """
    frame = sys._getframe(2)
    for _ in range(_MOST_FRAMES):
        if frame.f_code.co_name in _ADDING:
            given = frame.f_locals.get("metadatas") or frame.f_locals.get("documents")
            if isinstance(given, Sequence) and given:
                return likely_title_key(metadata for metadata in map(_metadata, given) if metadata)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def warn_of_titles(what: str, remedy: str) -> None:
    """Warn that titles are left out of vectors, where the user's code called LangChain."""
    warnings.warn(
        f"{what}, so that they are not embedded, which costs many questions their passage: {remedy}",
        UserWarning,
        stacklevel=_user_level(),
    )


def embedded_passage(title: str, text: str, separator: str | None) -> Passage:
    """What is embedded of a text and the title in its metadata; separator: what ends a title in the text itself."""
    if separator is None:
        return Passage(title, text)
    if title:
        return Passage(title, text.removeprefix(title + separator))
    before, separated, after = text.partition(separator)
    return Passage(before, after) if separated else Passage("", text)


def check_separator(separator: object) -> None:
    """Raise TypeError or ValueError for what cannot stand between title and text."""
    if not isinstance(separator, str):
        raise TypeError(f"title_separator is {separator!r}; expected str, for example ' | '")
    if not separator:
        raise ValueError("title_separator is empty; expected text that ends a title, for example ' | '")


def _simple(key: str) -> str:
    """A metadata key without case and separators: "Source Title" is "sourcetitle"."""
    return "".join(letter for letter in key.lower() if letter.isalnum())


def _metadata(given: object) -> Mapping[str, Any] | None:
    metadata = given.metadata if isinstance(given, Document) else given
    return metadata if isinstance(metadata, Mapping) else None


def _user_level() -> int:
    """The stack level, as warnings count it, of the first function that is neither LangChain's nor ours."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("langchain", "dpr_tiny_retriever")
    ):
        frame, level = frame.f_back, level + 1
    return level
