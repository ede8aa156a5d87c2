"""Model stamps in farm-haystack's documents: written when they are embedded, checked when they are retrieved."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore, Document
from dpr_tiny_retriever.errors import ModelMismatchError
from dpr_tiny_retriever.model_stamp import STAMP_KEY, ModelStamp, check_stamp


def stamp(documents: Sequence[Document], text: str, store: BaseDocumentStore | None) -> None:
    """Write the stamp into the meta of documents being embedded, and into their rows if the store keeps them in SQL.

    Stores over SQL keep vectors in FAISS or elsewhere, and write back no meta when vectors are updated.
    """
    for document in documents:
        document.meta = {**(document.meta or {}), STAMP_KEY: text}
    session = getattr(store, "session", None)
    if session is not None:
        _stamp_rows(session, [document.id for document in documents], text)


def check_stamps(documents: Iterable[Document], expected: ModelStamp, on_mismatch: str) -> None:
    """Check the stamps of retrieved documents; raises ModelMismatchError, or warns if on_mismatch is "warn"."""
    found = {(document.meta or {}).get(STAMP_KEY) for document in documents}
    for text in sorted(text for text in found if text):
        try:
            check_stamp(text, expected)
        except ModelMismatchError as error:
            if on_mismatch == "error":
                raise
            warnings.warn(str(error), stacklevel=4)


def _stamp_rows(session: Any, ids: Sequence[str], text: str) -> None:
    """Stamp the rows of these ids that have no vector yet: new ones, and those that update_embeddings has reset."""
    from haystack.document_stores.sql import DocumentORM, MetaDocumentORM  # type: ignore[import-not-found]

    for start in range(0, len(ids), 500):  # SQLite takes some hundreds of values at once
        some = list(ids[start : start + 500])
        rows = session.query(DocumentORM.id, DocumentORM.index)
        waiting = rows.filter(DocumentORM.id.in_(some), DocumentORM.vector_id.is_(None)).all()
        stamps = session.query(MetaDocumentORM).filter(MetaDocumentORM.name == STAMP_KEY)
        for index in sorted({index for _, index in waiting}):
            those = [id for id, other in waiting if other == index]
            old = stamps.filter(MetaDocumentORM.document_index == index, MetaDocumentORM.document_id.in_(those))
            old.delete(synchronize_session=False)
        session.bulk_insert_mappings(
            MetaDocumentORM,
            [{"name": STAMP_KEY, "value": text, "document_id": id, "document_index": index} for id, index in waiting],
        )
    session.commit()
