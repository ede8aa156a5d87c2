"""What a document store holds already, asked by the protocol that all stores share."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from haystack import Document
from haystack.document_stores.types import DocumentStore

from dpr_tiny_retriever import STAMP_KEY, ModelStamp, Passage

#: The meta field that tells, with a store's own filters, which documents it holds as they are.
DIGEST_KEY = "dpr_tiny_digest"
#: How many values one filter asks for.
_FILTERED = 256


def digest_of(document: Document, passage: Passage, stamp: ModelStamp) -> str:
    """A digest of a document's id and meta, of the title and text that are embedded, and of the model."""
    meta = {name: value for name, value in document.meta.items() if name not in (DIGEST_KEY, STAMP_KEY)}
    stated = [document.id, meta, document.content, passage.title, passage.text, str(stamp)]
    return hashlib.blake2b(json.dumps(stated, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def stored_digests(store: DocumentStore, documents: Mapping[str, Document]) -> set[str]:
    """Those of the digests, here with their documents, that a store holds."""
    held = getattr(store, "storage", None)
    if isinstance(held, Mapping):  # InMemoryDocumentStore, whose filters look at every document
        stored = (held.get(document.id) for document in documents.values())
        return {str(document.meta.get(DIGEST_KEY)) for document in stored if document is not None} & documents.keys()
    return {str(document.meta.get(DIGEST_KEY)) for document in _with_any(store, DIGEST_KEY, documents)}


def stored_ids(store: DocumentStore, meta_field: str, values: Iterable[Any]) -> Iterator[str]:
    """The ids of the documents that have one of these values in a meta field, a few hundred values at a time."""
    for document in _with_any(store, meta_field, values):
        yield document.id


def _with_any(store: DocumentStore, meta_field: str, values: Iterable[Any]) -> Iterator[Document]:
    remaining = iter(values)
    while some := list(islice(remaining, _FILTERED)):
        yield from store.filter_documents({"field": f"meta.{meta_field}", "operator": "in", "value": some})
