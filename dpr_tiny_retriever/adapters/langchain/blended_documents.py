"""The documents of a vector store and a BM25 index of them, for blending with the store's results."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain.titles import embedded_passage, title_of
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.bm25_mirror import BM25Mirror


class BlendedDocuments:
    """Documents by id, with a BM25 index of their passages.

    Many stores return documents without ids; those are matched by text and metadata.
    """

    def __init__(self, title_key: str | None, title_separator: str | None) -> None:
        """title_key: the metadata key of titles; title_separator: the embeddings' own."""
        self.title_key = title_key
        self._title_separator = title_separator
        self._documents: dict[str, Document] = {}
        self._ids_of_text: dict[str, list[str]] = {}
        self.bm25 = BM25Mirror()

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, id: object) -> bool:
        return id in self._documents

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.title_key, self._title_separator, list(self._documents.values()))

    def passage(self, document: Document) -> Passage:
        """Return the passage that is embedded for a document."""
        return embedded_passage(title_of(document, 0, self.title_key), document.page_content, self._title_separator)

    def replace(self, documents: Sequence[Document]) -> None:
        """Replace all documents by these, which have ids."""
        self.delete(list(self._documents))
        self.add(documents)

    def add(self, documents: Sequence[Document]) -> None:
        """Add documents, which have ids; replace those whose id is known."""
        ids = [str(document.id) for document in documents]
        self.bm25.add(ids, [self.passage(document) for document in documents])
        self._forget(ids)
        for id, document in zip(ids, documents, strict=True):
            self._documents[id] = document
            self._ids_of_text.setdefault(document.page_content, []).append(id)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove documents by id; ignore unknown ids."""
        gone = list(ids)
        self.bm25.delete(gone)
        self._forget(gone)

    def id_of(self, found: Document, taken: Collection[str]) -> str | None:
        """Return the id of a document found by the store; None if it was added to the store only.

        taken: ids already given to this search's documents, for documents with equal texts.
        """
        if found.id is not None and found.id in self._documents:
            return found.id
        same = [id for id in self._ids_of_text.get(found.page_content, ()) if id not in taken]
        known = [(id, document) for id, document in zip(same, map(self._documents.get, same), strict=True) if document]
        alike = [id for id, document in known if _holds(found.metadata, document.metadata)]
        return next(iter(alike or same), None)

    def document(self, id: str, found: Document | None) -> Document | None:
        """Return a copy of the document as given, or the one found by the store if the id is unknown.

        None if the document was deleted after BM25 found it.
        """
        document = self._documents.get(id)
        return found if document is None else with_id(document)

    def ids_where(self, metadata: Mapping[str, Any]) -> list[str]:
        """Return the ids of the documents that match a metadata filter: every key with an equal value."""
        documents = list(self._documents.items())  # another thread may add some meanwhile
        return [id for id, document in documents if _holds(document.metadata, metadata)]

    def _forget(self, ids: Iterable[str]) -> None:
        for id in ids:
            document = self._documents.pop(id, None)
            if document is not None:
                same = self._ids_of_text[document.page_content]
                same.remove(id)
                if not same:
                    del self._ids_of_text[document.page_content]


def with_id(document: Document) -> Document:
    """Return a copy of a document, with a new id if it has none."""
    return Document(
        page_content=document.page_content, metadata=dict(document.metadata), id=document.id or str(uuid4())
    )


def _restored(title_key: str | None, title_separator: str | None, documents: list[Document]) -> BlendedDocuments:
    restored = BlendedDocuments(title_key, title_separator)
    restored.add(documents)
    return restored


def _holds(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in metadata and metadata[key] == value for key, value in wanted.items())
