"""The model stamp in the metadata of LangChain documents: added when stored, checked when found."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document

from dpr_tiny_retriever.adapters.langchain.titles import warn_user
from dpr_tiny_retriever.errors import ModelMismatchError
from dpr_tiny_retriever.model_stamp import STAMP_KEY, ModelStamp, OnMismatch, check_on_mismatch, check_stamp


def stamped(document: Document, stamp: str) -> Document:
    """Return a copy of a document with this stamp in its metadata."""
    metadata = {**document.metadata, STAMP_KEY: stamp}
    return Document(page_content=document.page_content, metadata=metadata, id=document.id)


def without_stamp(document: Document) -> Document:
    """Return the document as it was before stamped; a copy if it has a stamp."""
    if STAMP_KEY not in document.metadata:
        return document
    metadata = {key: value for key, value in document.metadata.items() if key != STAMP_KEY}
    return Document(page_content=document.page_content, metadata=metadata, id=document.id)


class MismatchReport:
    """Raises ModelMismatchError for vectors of another model, or warns, once for each message."""

    def __init__(self, on_mismatch: OnMismatch) -> None:
        check_on_mismatch(on_mismatch)
        self.on_mismatch = on_mismatch
        self._warned: set[str] = set()

    def report(self, problem: str | None) -> None:
        """Raise or warn, unless problem is None."""
        if problem is None:
            return
        if self.on_mismatch == "error":
            raise ModelMismatchError(problem)
        if problem not in self._warned:
            self._warned.add(problem)
            warn_user(problem)

    def check_stamps(self, documents: Iterable[Document], expected: ModelStamp) -> None:
        """Check the stamps of documents of a store; those without one pass."""
        found = {document.metadata.get(STAMP_KEY) for document in documents} - {None, str(expected)}
        for stamp in found:
            try:
                check_stamp(str(stamp), expected)
            except ModelMismatchError as error:
                self.report(str(error))
