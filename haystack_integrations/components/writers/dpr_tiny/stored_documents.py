"""Look up stored documents by digest or source, using only haystack-ai's DocumentStore protocol."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from haystack import Document
from haystack.document_stores.types import DocumentStore

from dpr_tiny_retriever import STAMP_KEY, ModelStamp, Passage

#: The meta field that holds a document's digest, by which stores are filtered for unchanged documents.
DIGEST_KEY = "dpr_tiny_digest"
#: Values per filter.
_FILTERED = 256


def digest_of(document: Document, passage: Passage, stamp: ModelStamp) -> str:
    """Return a hex digest of a document's id, meta and content, of the encoded title and text, and of the model."""
    meta = {name: value for name, value in document.meta.items() if name not in (DIGEST_KEY, STAMP_KEY)}
    stated = [document.id, meta, document.content, passage.title, passage.text, str(stamp)]
    return hashlib.blake2b(json.dumps(stated, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def stored_digests(store: DocumentStore, documents: Mapping[str, Document]) -> set[str]:
    """Return which of the digests, the keys of documents, a store holds."""
    held = getattr(store, "storage", None)
    if isinstance(held, Mapping):  # InMemoryDocumentStore, whose filters look at every document
        stored = (held.get(document.id) for document in documents.values())
        return {str(document.meta.get(DIGEST_KEY)) for document in stored if document is not None} & documents.keys()
    return {str(document.meta.get(DIGEST_KEY)) for document in _with_any(store, DIGEST_KEY, documents)}


def stored_ids(store: DocumentStore, meta_field: str, values: Iterable[Any]) -> Iterator[str]:
    """Yield the ids of stored documents that have one of these values in a meta field."""
    for document in _with_any(store, meta_field, values):
        yield document.id


def _with_any(store: DocumentStore, meta_field: str, values: Iterable[Any]) -> Iterator[Document]:
    remaining = iter(values)
    while some := list(islice(remaining, _FILTERED)):
        yield from store.filter_documents({"field": f"meta.{meta_field}", "operator": "in", "value": some})
