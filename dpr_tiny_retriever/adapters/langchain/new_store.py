"""The arguments of TitledVectorStore.from_documents, checked before anything is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from dpr_tiny_retriever.adapters.langchain.document_batches import DocumentBatch, in_batches, with_ids
from dpr_tiny_retriever.adapters.langchain.embeddings import TinyDPREmbeddings, tiny_dpr_embeddings
from dpr_tiny_retriever.adapters.langchain.stamps import MismatchReport
from dpr_tiny_retriever.adapters.langchain.store_similarity import store_problem
from dpr_tiny_retriever.model_stamp import OnMismatch


class NewStore(NamedTuple):
    """A store to be made: its class and embeddings, the settings of TitledVectorStore, and the documents."""

    vectorstore_class: type[VectorStore]
    embedding: Embeddings
    settings: dict[str, Any]
    batches: list[DocumentBatch]


def prepare(
    documents: Sequence[Document],
    embedding: Embeddings | None,
    vectorstore_class: type[VectorStore] = InMemoryVectorStore,
    *,
    title_key: str | None = "title",
    stamp_documents: bool = True,
    on_mismatch: OnMismatch = "error",
    **options: Any,
) -> NewStore:
    """Check the arguments of from_documents before anything is embedded.

    Raises TypeError for embeddings other than TinyDPREmbeddings, ModelMismatchError if the class of the store already
    tells that it ranks unlike the model.
    """
    embedding = embedding or TinyDPREmbeddings()
    encoder = tiny_dpr_embeddings(embedding, vectorstore_class.__name__).encoder
    if on_mismatch == "error":
        MismatchReport(on_mismatch).report(store_problem(encoder, vectorstore_class))
    stamp = str(encoder.stamp) if stamp_documents else None
    settings = {"title_key": title_key, "stamp_documents": stamp_documents, "on_mismatch": on_mismatch}
    batches = in_batches(documents, title_key, with_ids(documents, options), stamp)
    return NewStore(vectorstore_class, embedding, settings, batches)
