"""Titles in LangChain, which passes plain texts: a title travels inside the text, before a separator."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document


def join_titles(documents: Iterable[Document], *, title_separator: str, title_key: str = "title") -> list[Document]:
    """Return copies of documents whose text is their title, the separator and their text.

    The title is `metadata[title_key]`, and stays there. A document without one (no such key, None or "")
    keeps its text; if that text contains the separator, another separator is put in front, which marks an empty
    title. So `split_titles` restores every document, and `TinyDPREmbeddings` with the same separator embeds
    exactly its title and text. Split long documents into chunks first: then each chunk carries the title.

    Raises ValueError if a title contains the separator or runs into it, TypeError if a title is not a str.
    """
    check_separator(title_separator)
    joined = []
    for position, document in enumerate(documents):
        title, text = _title(document, position, title_key), document.page_content
        if (title + title_separator).index(title_separator) != len(title):
            raise ValueError(
                f"the title of document {position}, {title!r}, contains or runs into the separator "
                f"{title_separator!r} and could not be split off again; choose a separator that no title has"
            )
        if title or title_separator in text:
            text = title + title_separator + text
        joined.append(Document(page_content=text, metadata=dict(document.metadata), id=document.id))
    return joined


def split_titles(documents: Iterable[Document], *, title_separator: str, title_key: str = "title") -> list[Document]:
    """Return copies of documents with the title taken off their text and stored as `metadata[title_key]`.

    Undoes `join_titles`, for the documents that a retriever returns. A text without the separator stays as it is.

    Raises ValueError if the metadata holds another title: then the text was not written by `join_titles`.
    """
    check_separator(title_separator)
    split = []
    for position, document in enumerate(documents):
        stored_title, metadata = _title(document, position, title_key), dict(document.metadata)
        title, text = partition_title(document.page_content, title_separator)
        if text != document.page_content:
            if stored_title and stored_title != title:
                raise ValueError(
                    f"document {position} has the title {stored_title!r} in its metadata and {title!r} in its text; "
                    "expected what join_titles wrote: split it once, with the same separator"
                )
            if title:
                metadata[title_key] = title
        split.append(Document(page_content=text, metadata=metadata, id=document.id))
    return split


def partition_title(text: str, separator: str) -> tuple[str, str]:
    """Return the title, "" if there is none, and the text after it."""
    title, separated, rest = text.partition(separator)
    return (title, rest) if separated else ("", text)


def _title(document: Document, position: int, key: str) -> str:
    if not isinstance(document, Document):
        raise TypeError(f"document {position} is {type(document).__name__}; expected a LangChain Document")
    title = document.metadata.get(key)
    if title is not None and not isinstance(title, str):
        raise TypeError(
            f"metadata[{key!r}] of document {position} is {type(title).__name__} {title!r}; "
            "expected str or None: convert it, or name another key as title_key"
        )
    return title or ""


def check_separator(separator: object) -> None:
    if not isinstance(separator, str):
        raise TypeError(f"title_separator is {separator!r}; expected str, for example ' | '")
    if not separator:
        raise ValueError("title_separator is empty; expected text that ends a title, for example ' | '")
