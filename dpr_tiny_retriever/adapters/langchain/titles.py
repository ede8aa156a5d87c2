"""The title of a LangChain document, and warnings where it is not embedded."""

from __future__ import annotations

import sys
import warnings

from langchain_core.documents import Document

from dpr_tiny_retriever.passage import Passage


def title_of(document: Document, position: int, key: str | None) -> str:
    """Return the document's title, "" if it has none or key is None.

    Raises TypeError, which names the position, unless it is a Document whose title is a str or None.
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
    """Raise TypeError or ValueError for an invalid title_key; None means no titles."""
    if title_key is not None and not isinstance(title_key, str):
        raise TypeError(f"title_key is {title_key!r}; expected a key of the metadata, such as 'title', or None")
    if title_key == "":
        raise ValueError("title_key is empty; expected a key of the metadata, such as 'title', or None for no titles")


def warn_of_titles(what: str, remedy: str) -> None:
    """Warn that titles are not embedded, at the user's call of LangChain."""
    warn_user(f"{what}, so that they are not embedded, which costs many questions their passage: {remedy}")


def warn_user(message: str) -> None:
    """Warn at the user's call of LangChain."""
    warnings.warn(message, UserWarning, stacklevel=_user_level())


def embedded_passage(title: str, text: str, separator: str | None) -> Passage:
    """Return the passage to embed for a title and a text; separator: what ends a title within the text."""
    if separator is None:
        return Passage(title, text)
    if title:
        return Passage(title, text.removeprefix(title + separator))
    before, separated, after = text.partition(separator)
    return Passage(before, after) if separated else Passage("", text)


def check_separator(separator: object) -> None:
    """Raise TypeError or ValueError for an invalid title_separator."""
    if not isinstance(separator, str):
        raise TypeError(f"title_separator is {separator!r}; expected str, for example ' | '")
    if not separator:
        raise ValueError("title_separator is empty; expected text that ends a title, for example ' | '")


def _user_level() -> int:
    """Return the stacklevel for warnings.warn of the nearest caller outside LangChain and this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("langchain", "dpr_tiny_retriever")
    ):
        frame, level = frame.f_back, level + 1
    return level
