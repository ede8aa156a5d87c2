"""An index of titled passages on disk: a haystack document store that follows its texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpr_tiny_retriever.data.text_files import Text, split
from dpr_tiny_retriever.errors import MissingExtraError

try:
    from haystack import Document
    from haystack.document_stores.types import DuplicatePolicy
    from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
except ImportError as error:
    raise MissingExtraError(f'searching a folder needs pip install "dpr-tiny-retriever[search]" ({error})') from error

if TYPE_CHECKING:
    from dpr_tiny_retriever.dual_encoder import DualEncoder

#: Passages encoded and written at once: what an interruption can cost.
_WRITTEN_AT_ONCE = 1024


@dataclass(frozen=True)
class Hit:
    """A passage that was found: its dot product with the question, title, text and source."""

    score: float
    title: str
    text: str
    source: str


class Index:
    """Passages and their vectors in a folder, encoded once and kept."""

    def __init__(self, folder: Path, encoder: DualEncoder) -> None:
        """Open the index in a folder, or begin one; an index belongs to the model that made its vectors."""
        self.encoder = encoder
        place = folder / encoder.passage_encoder.fingerprint()
        self.store = QdrantDocumentStore(
            path=str(place),
            index="passages",
            embedding_dim=encoder.embedding_dim,
            similarity="dot_product",
            progress_bar=False,
        )
        self.retriever = QdrantEmbeddingRetriever(self.store, scale_score=False)
        try:
            self.store.count_documents()  # opens it
        except RuntimeError as error:
            raise BlockingIOError(
                f"{place} cannot be opened: {error}; expected an index that no other run uses"
            ) from error

    def close(self) -> None:
        """Leave the index to other runs."""
        self.store.close()

    def update(self, texts: Iterable[Text]) -> int:
        """Make the index hold the passages of these texts and no others; returns how many had to be encoded.

        What the index holds already is kept, after a change of the texts as after an interruption.
        """
        wanted = {
            document.id: document
            for text in texts
            for passage in split(text)
            for document in [Document(content=passage.text, meta={"title": passage.title, "source": text.source})]
        }
        held = {document.id for document in self.store.filter_documents()}
        if held - wanted.keys():
            self.store.delete_documents(sorted(held - wanted.keys()))
        new = [document for key, document in wanted.items() if key not in held]
        for start in range(0, len(new), _WRITTEN_AT_ONCE):
            part = new[start : start + _WRITTEN_AT_ONCE]
            passages = [(document.meta["title"], document.content or "") for document in part]
            vectors = self.encoder.encode_passages(passages, show_progress=True)
            embedded = [replace(item, embedding=vector) for item, vector in zip(part, vectors.tolist(), strict=True)]
            self.store.write_documents(embedded, policy=DuplicatePolicy.OVERWRITE)
        return len(new)

    def __len__(self) -> int:
        return int(self.store.count_documents())

    def search(self, question: str, *, top_k: int) -> list[Hit]:
        """The passages nearest to a question, best first."""
        [vector] = self.encoder.encode_queries([question]).tolist()
        return [
            Hit(document.score or 0.0, document.meta["title"], document.content or "", document.meta["source"])
            for document in self.retriever.run(query_embedding=vector, top_k=top_k)["documents"]
        ]
