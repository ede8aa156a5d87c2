"""The blend over farm-haystack's document stores, most of which have no BM25 of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from dpr_tiny_retriever.adapters.farm_haystack_checks import as_passage
from dpr_tiny_retriever.adapters.farm_haystack_imports import BaseDocumentStore, Document, FilterType
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.blended_search import list_length
from dpr_tiny_retriever.retrieval.bm25_mirror import BM25Mirror
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines
from dpr_tiny_retriever.types import Vectors

#: By which haystack divides BM25 scores before it scales them to 0 ... 1.
_SCALE = 8.0


@dataclass(frozen=True)
class _Place:
    """Where a search looks."""

    store: BaseDocumentStore
    index: str
    headers: dict[str, str] | None
    title_field: str | None

    @property
    def options(self) -> dict[str, Any]:
        """What every method of a store takes."""
        return {"index": self.index, "headers": self.headers}

    def passage(self, document: Document) -> Passage:
        return as_passage(document, 0, self.title_field)


class StoreBlend:
    """Searches document stores by vectors and words; the words are counted here, in memory, for each store and index.

    A store is read again when its number of documents has changed, when a hit is new or has another text, and after
    mark_changed. A copy or pickle has counted nothing yet.
    """

    def __init__(self) -> None:
        self._mirrors: WeakKeyDictionary[BaseDocumentStore, dict[str, BM25Mirror]] = WeakKeyDictionary()
        self._in_step: WeakSet[BM25Mirror] = WeakSet()

    def __reduce__(self) -> tuple[type[StoreBlend], tuple[()]]:
        return StoreBlend, ()

    def mark_changed(self) -> None:
        """Read every store again before it is next searched."""
        self._in_step.clear()

    def search(
        self,
        store: BaseDocumentStore,
        questions: Sequence[str],
        vectors: Sequence[Vectors],
        filters: FilterType | list[FilterType | None] | None,
        headers: dict[str, str] | None,
        *,
        encoder: DualEncoder,
        title_field: str | None,
        top_k: int,
        index: str,
        scale_score: bool,
    ) -> list[list[Document]]:
        """For each question the top_k best documents with their blended scores.

        filters: one for all questions, or a list of one for each. They hold for every hit, also in stores that ignore
        them when they search by vector, as FAISSDocumentStore does.
        encoder: what made the vectors. scale_score: scores from 0 to 1.
        """
        each = filters if isinstance(filters, list) else [filters] * len(questions)
        if len(each) != len(questions):
            raise ValueError(f"found {len(each)} filters for {len(questions)} queries; expected one for each, or one")
        place = _Place(store, index, headers, title_field)
        found = []
        for question, vector, where in zip(questions, vectors, each, strict=True):
            documents = self._search(place, question, vector, where, encoder, top_k)
            for document in documents:
                document.score = 1 / (1 + math.exp(-document.score / _SCALE)) if scale_score else document.score
            found.append(documents)
        return found

    def _search(
        self,
        place: _Place,
        question: str,
        vector: Vectors,
        filters: FilterType | None,
        encoder: DualEncoder,
        top_k: int,
    ) -> list[Document]:
        store, options, depth = place.store, place.options, list_length(top_k)
        cosine = scores_are_cosines(encoder.similarity, normalize=encoder.normalize)
        allowed = None
        if filters:  # some stores ignore filters when they search by vector, so the documents are compared here
            listed = store.get_all_documents_generator(filters=filters, return_embedding=True, **options)
            by_id = allowed = {document.id: document for document in listed}
        else:
            nearest = store.query_by_embedding(vector, top_k=depth, return_embedding=True, scale_score=False, **options)
            by_id = {document.id: document for document in nearest}
        dense = _nearest(vector, by_id.values(), depth, 1.0 if cosine else encoder.exact_dot_bound)
        mirror = self._mirror(place, [by_id[id] for id in dense])
        hits = mirror.search(question, dense, top_k, cosine=cosine, among=allowed)
        missing = [hit.id for hit in hits if hit.id not in by_id]
        if missing:
            by_id.update((document.id, document) for document in store.get_documents_by_id(missing, **options))
        documents = []
        for hit in hits:
            document = by_id.get(hit.id)
            if document is not None:  # None: deleted since the store was read
                document.score = hit.score
                document.embedding = document.embedding if store.return_embedding else None
                documents.append(document)
        return documents

    def _mirror(self, place: _Place, found: Iterable[Document]) -> BM25Mirror:
        """The words of a store's index, as it is now."""
        store, options = place.store, place.options
        mirror = self._mirrors.setdefault(store, {}).setdefault(place.index, BM25Mirror())
        is_in_step = mirror in self._in_step and len(mirror) == store.get_document_count(**options)
        if not is_in_step or not all(mirror.holds(document.id, place.passage(document)) for document in found):
            documents = store.get_all_documents_generator(return_embedding=False, **options)
            mirror.synchronize({document.id: place.passage(document) for document in documents})
            self._in_step.add(mirror)
        return mirror


def _nearest(vector: Vectors, documents: Iterable[Document], k: int, length: float | None) -> dict[str, float]:
    """The k documents nearest to a question by dot product, whatever the store's scores are.

    length: that of all passage vectors, which stores of cosine may have made 1. With 1, the question is scaled too.
    """
    embedded = [document for document in documents if document.embedding is not None]
    if not embedded:
        return {}
    vectors = np.array([document.embedding for document in embedded], np.float32)
    if length is not None:
        vectors = vectors * (length / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
    if length == 1:
        vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
    scores = (vectors @ vector).tolist()
    best = sorted(range(len(scores)), key=lambda row: -scores[row])[:k]
    return {embedded[row].id: scores[row] for row in best}
