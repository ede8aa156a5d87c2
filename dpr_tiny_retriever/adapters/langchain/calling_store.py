"""Find the vector store that calls the embeddings: LangChain does not pass it to them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

#: The methods of vector stores that add documents.
_ADDING = frozenset({"add_documents", "add_texts", "from_documents", "from_texts"})
_MOST_FRAMES = 12


class Addition(NamedTuple):
    """A vector store's call that adds documents: the store and the documents' metadata."""

    store: VectorStore | None
    """None in from_documents and from_texts, which have no store yet."""
    metadatas: list[Mapping[str, Any]]
    """Of the documents with metadata."""


def current_addition() -> Addition | None:
    """Return the vector store's call that the embeddings run in; None if no vector store calls them.

    LangChain passes texts only, so store and metadata are read from the local variables of the calling method.
    """
    frame = sys._getframe(2)
    for _ in range(_MOST_FRAMES):
        if frame.f_code.co_name in _ADDING:
            given = frame.f_locals.get("metadatas") or frame.f_locals.get("documents")
            listed = given if isinstance(given, Sequence) else []
            found = frame.f_locals.get("self")
            return Addition(
                found if isinstance(found, VectorStore) else None,
                [metadata for metadata in map(_metadata, listed) if metadata],
            )
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def _metadata(given: object) -> Mapping[str, Any] | None:
    metadata = given.metadata if isinstance(given, Document) else given
    return metadata if isinstance(metadata, Mapping) else None
