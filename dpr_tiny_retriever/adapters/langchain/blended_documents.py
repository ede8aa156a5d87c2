"""The documents of a vector store, with their words: what a blend needs beside the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain.titles import join_titles, partition_title, split_titles
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.bm25_mirror import BM25Mirror


class _Entry(NamedTuple):
    document: Document
    """As users gave it, its title in the metadata only."""
    stored_text: str
    """As it stands in the store."""


class BlendedDocuments:
    """Documents by id, as users gave them, with a BM25 index of the passages that the embeddings make of them.

    Many stores return documents without their ids: those are recognised by text and metadata.
    """

    def __init__(self, title_separator: str | None, title_key: str | None) -> None:
        """title_separator: what the embeddings take a title off by; None, as title_key None: none is put there."""
        self._title_separator = title_separator
        self.title_key = title_key
        self._entries: dict[str, _Entry] = {}
        self._ids_of_text: dict[str, list[str]] = {}
        self.bm25 = BM25Mirror()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, id: object) -> bool:
        return id in self._entries

    def __reduce__(self) -> tuple[Any, ...]:
        documents = [entry.document for entry in self._entries.values()]
        return _restored, (self._title_separator, self.title_key, documents)

    def as_stored(self, documents: Iterable[Document]) -> list[Document]:
        """Documents as they go into the store: with an id, and with the title before the text."""
        with_ids = [_copy(document, id=document.id or str(uuid4())) for document in map(self.without_title, documents)]
        if self._title_separator is None or self.title_key is None:
            return with_ids
        return join_titles(with_ids, title_separator=self._title_separator, title_key=self.title_key)

    def without_title(self, document: Document) -> Document:
        """The document with its title in the metadata only, where join_titles has put it before the text, too."""
        separator, key, text = self._title_separator, self.title_key, document.page_content
        if separator is None or key is None:
            return document
        prefix = f"{document.metadata.get(key) or ''}{separator}"
        if not text.startswith(prefix) or (prefix == separator and separator not in text[len(prefix) :]):
            return document
        [plain] = split_titles([document], title_separator=separator, title_key=key)
        return plain

    def replace(self, stored: Sequence[Document]) -> None:
        """Hold these documents, as they are in the store, and no others."""
        self.delete(list(self._entries))
        self.add(stored)

    def add(self, stored: Sequence[Document]) -> None:
        """Add documents as they are in the store, each with its id; one of the same id is replaced."""
        ids = [str(document.id) for document in stored]
        self.bm25.add(ids, [self._passage(document.page_content) for document in stored])
        self._forget(ids)
        for id, document in zip(ids, stored, strict=True):
            self._entries[id] = _Entry(self.without_title(document), document.page_content)
            self._ids_of_text.setdefault(document.page_content, []).append(id)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove documents by id; an unknown id is passed over."""
        gone = list(ids)
        self.bm25.delete(gone)
        self._forget(gone)

    def id_of(self, found: Document, taken: Collection[str]) -> str | None:
        """The id of a document that the store returned; None for one that was added to the store alone.

        taken: the ids of this search's documents so far, to tell several of the same text apart.
        """
        if found.id is not None and found.id in self._entries:
            return found.id
        same = [id for id in self._ids_of_text.get(found.page_content, ()) if id not in taken]
        entries = [(id, entry) for id, entry in zip(same, map(self._entries.get, same), strict=True) if entry]
        alike = [id for id, entry in entries if _holds(found.metadata, entry.document.metadata)]
        return next(iter(alike or same), None)

    def document(self, id: str, found: Document | None) -> tuple[Document, Passage] | None:
        """A copy of a document as it was given, and its passage; of an unknown id: of what the store returned.

        None where the document has been deleted since it was found by its words.
        """
        entry = self._entries.get(id)
        if entry is not None:
            return _copy(entry.document), self._passage(entry.stored_text)
        return None if found is None else (self.without_title(found), self._passage(found.page_content))

    def ids_where(self, metadata: Mapping[str, Any]) -> list[str]:
        """The ids of the documents that have these values in their metadata."""
        entries = list(self._entries.items())  # another thread may add some meanwhile
        return [id for id, entry in entries if _holds(entry.document.metadata, metadata)]

    def _passage(self, stored_text: str) -> Passage:
        """What the embeddings make of a text in the store."""
        if self._title_separator is None:
            return Passage(None, stored_text)
        return Passage(*partition_title(stored_text, self._title_separator))

    def _forget(self, ids: Iterable[str]) -> None:
        for id in ids:
            entry = self._entries.pop(id, None)
            if entry is not None:
                same = self._ids_of_text[entry.stored_text]
                same.remove(id)
                if not same:
                    del self._ids_of_text[entry.stored_text]


def _restored(title_separator: str | None, title_key: str | None, documents: list[Document]) -> BlendedDocuments:
    restored = BlendedDocuments(title_separator, title_key)
    restored.add(restored.as_stored(documents))
    return restored


def _copy(document: Document, **changes: Any) -> Document:
    parts = {"page_content": document.page_content, "metadata": dict(document.metadata), "id": document.id}
    return Document(**{**parts, **changes})


def _holds(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in metadata and metadata[key] == value for key, value in wanted.items())
