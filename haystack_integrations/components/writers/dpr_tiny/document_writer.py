"""The haystack-ai component that updates a document store, embedding only new and changed documents."""

import asyncio
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, cast

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.serialization import component_from_dict, component_to_dict, import_class_by_name
from haystack.document_stores.types import DocumentStore, DuplicatePolicy

from dpr_tiny_retriever import Passage
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder
from haystack_integrations.components.embedders.dpr_tiny.embedder import described
from haystack_integrations.components.writers.dpr_tiny.stored_documents import (
    DIGEST_KEY,
    digest_of,
    stored_digests,
    stored_ids,
)

#: Documents per batch of looking up, embedding and writing; a later error does not undo earlier batches.
_BATCH = 1024


@described
@component
@dataclass(eq=False, repr=False)
class TinyDPRDocumentWriter:
    """Embeds and writes only the documents that are new to a store or have changed since they were written.

    It takes the place of an embedder and a DocumentWriter, behind whatever splits documents. Documents are compared by
    a digest of id, content and meta (a changed title is a change), and of the model and what is embedded, so that
    another model embeds everything again. The digest stands in meta["dpr_tiny_digest"]; a store that was filled without
    it is written once more. Any document store will do; a document of the same id is overwritten.

    document_store: the store.
    document_embedder: what embeds; None: TinyDPRDocumentEmbedder().
    source_meta_field: the meta field that says where a document comes from, such as "file_path".
    delete_missing: whether to delete, after writing, stored documents of the sources of a run that are not in the run.
        A run then has to hold all documents of its sources. Documents of other sources are never deleted.
    """

    document_store: DocumentStore
    document_embedder: TinyDPRDocumentEmbedder | None = None
    _: KW_ONLY
    source_meta_field: str | None = None
    delete_missing: bool = False

    def __post_init__(self) -> None:
        if self.document_embedder is None:
            self.document_embedder = TinyDPRDocumentEmbedder()
        if not isinstance(self.document_embedder, TinyDPRDocumentEmbedder):
            raise TypeError(
                f"document_embedder is a {type(self.document_embedder).__name__}; expected a TinyDPRDocumentEmbedder"
            )
        for name in ("filter_documents", "write_documents", "delete_documents"):
            if not callable(getattr(self.document_store, name, None)):
                raise TypeError(f"document_store is {self.document_store!r}, which has no {name}(); expected a store")
        if self.delete_missing and self.source_meta_field is None:
            raise ValueError(
                "delete_missing is True, but source_meta_field is None; expected the meta field that says where a "
                'document comes from, such as "file_path", since only documents of the same source are deleted'
            )
        self._embedder = self.document_embedder

    def describe(self) -> str:
        """Return the repr: store and model."""
        return f"TinyDPRDocumentWriter({type(self.document_store).__name__}, {self._embedder!r})"

    @component.output_types(documents_written=int, documents_unchanged=int, documents_deleted=int)
    def run(self, documents: list[Document], sources: list[str] | None = None) -> dict[str, int]:
        """Write new and changed documents, then delete missing ones; return the numbers written, unchanged, deleted.

        sources: further sources that this run holds all documents of, such as files that are gone. Of two documents of
        one id the last is kept. Raises as TinyDPRDocumentEmbedder.run does, and ValueError for a document without a
        source where missing ones are to be deleted, both before anything is written.
        """
        passages = self._embedder.passages(documents)
        complete = self._sources(documents, sources)
        by_id = {document.id: (document, passage) for document, passage in zip(documents, passages, strict=True)}
        unique, written = list(by_id.values()), 0
        for start in range(0, len(unique), _BATCH):
            written += self._write(unique[start : start + _BATCH])
        deleted = self._delete_missing(complete, by_id) if self.delete_missing else 0
        return {
            "documents_written": written,
            "documents_unchanged": len(unique) - written,
            "documents_deleted": deleted,
        }

    @component.output_types(documents_written=int, documents_unchanged=int, documents_deleted=int)
    async def run_async(self, documents: list[Document], sources: list[str] | None = None) -> dict[str, int]:
        """Call run() in a worker thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, documents, sources)

    def warm_up(self) -> None:
        """Load the model; otherwise the first run() loads it."""
        self._embedder.warm_up()

    def close(self) -> None:
        """Close the document store, if it can be closed."""
        if hasattr(self.document_store, "close"):
            self.document_store.close()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component, its store and its embedder to plain data."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            document_embedder=component_to_dict(self._embedder, "document_embedder"),
            source_meta_field=self.source_meta_field,
            delete_missing=self.delete_missing,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TinyDPRDocumentWriter":
        """Deserialize what to_dict returned; data is not modified."""
        parameters = dict(data.get("init_parameters", {}))
        store = parameters["document_store"]
        parameters["document_store"] = cast(Any, import_class_by_name(store["type"])).from_dict(store)
        if (part := parameters.get("document_embedder")) is not None:
            parameters["document_embedder"] = component_from_dict(TinyDPRDocumentEmbedder, part, "document_embedder")
        made: TinyDPRDocumentWriter = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made

    def _write(self, some: list[tuple[Document, Passage]]) -> int:
        """Embed and write the new and changed ones of a batch of documents; return how many."""
        self._embedder.check_store(self.document_store)
        stamp = self._embedder.stamp
        wanted = {digest_of(document, passage, stamp): document for document, passage in some}
        stored = stored_digests(self.document_store, wanted)
        lacking = [
            replace(document, meta={**document.meta, DIGEST_KEY: digest})
            for digest, document in wanted.items()
            if digest not in stored
        ]
        if lacking:
            embedded = self._embedder.run(lacking)["documents"]
            self.document_store.write_documents(embedded, policy=DuplicatePolicy.OVERWRITE)
        return len(lacking)

    def _sources(self, documents: list[Document], further: list[str] | None) -> set[str]:
        """Return the sources that this run is complete for; raises ValueError for a document without a source."""
        if not self.delete_missing:
            if further is not None:
                raise ValueError("sources are given, but delete_missing is False; expected True, or no sources")
            return set()
        found = set(further or ())
        for document in documents:
            source = document.meta.get(str(self.source_meta_field))
            if not isinstance(source, str) or not source:
                raise ValueError(
                    f"meta[{self.source_meta_field!r}] of document {document.id} is {source!r}; expected a str, the "
                    "source that missing documents are deleted of"
                )
            found.add(source)
        return found

    def _delete_missing(self, sources: Collection[str], kept: Collection[str]) -> int:
        gone = [id for id in stored_ids(self.document_store, str(self.source_meta_field), sources) if id not in kept]
        for start in range(0, len(gone), _BATCH):
            self.document_store.delete_documents(gone[start : start + _BATCH])
        return len(gone)
