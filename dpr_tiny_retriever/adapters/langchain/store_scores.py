"""What the scores of a vector store mean, which LangChain leaves to each store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from dpr_tiny_retriever.adapters.langchain.embeddings import TinyDPREmbeddings
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines

Scores = NDArray[np.float64]

#: How a score is read as the similarity of vectors of unit length: the similarity itself (InMemoryVectorStore, Qdrant,
#: FAISS by inner product), a cosine distance (PGVector, Chroma by cosine), a squared L2 distance (FAISS, Chroma).
#: Each is a + b * score, kept as the numbers a and b, which pickle.
_READINGS = ((0.0, 1.0), (1.0, -1.0), (1.0, -0.5))
#: How many passages are encoded to find the reading, and how many different scores it takes to rely on it later.
_SAMPLES = 8
_TELLING_SAMPLES = 3
#: How far a reading may be off, in cosines. Stores that quantise vectors are further off: their hits are encoded.
_TOLERANCE = 1e-3


class StoreScores:
    """Turns a store's scores into cosines or dot products, as the embeddings' similarity has it.

    At the first searches some of the hits are encoded, which shows how the store's scores are to be read. Where none of
    the usual readings fits, all hits are encoded, each passage once: its vector is kept.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._reading: tuple[float, float] | None = None
        self._vectors: dict[Passage, Scores] = {}
        #: Whether similarities are cosines: always, except for pairs that are compared by dot products of any length.
        self.cosine = True
        if isinstance(embeddings, TinyDPREmbeddings):
            encoder = embeddings.encoder
            self.cosine = scores_are_cosines(encoder.similarity, normalize=encoder.normalize)

    def similarities(self, question: str, passages: Sequence[Passage], scores: Sequence[float | None]) -> Scores:
        """The similarity of each passage that the store has found to the question; float64 [n].

        scores: what the store says of each; None where it says nothing.
        """
        given = np.array([np.nan if score is None else score for score in scores], np.float64)
        if not passages or np.isnan(given).any():
            return self._computed(question, passages)
        if self._reading is None:
            rows = np.unique(np.linspace(0, len(passages) - 1, _SAMPLES).round().astype(int))
            sampled = self._computed(question, [passages[row] for row in rows])
            allowed = _TOLERANCE * max(1.0, float(np.abs(sampled).max()))
            fitting = [r for r in _READINGS if np.abs(_read(given[rows], r) - sampled).max() <= allowed]
            if not fitting:
                return self._computed(question, passages)
            if len(np.unique(given[rows])) < _TELLING_SAMPLES:
                return _read(given, fitting[0])
            [self._reading] = fitting
        return _read(given, self._reading)

    def _computed(self, question: str, passages: Sequence[Passage]) -> Scores:
        new = [passage for passage in dict.fromkeys(passages) if passage not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._scaled(self._embedded(new)), strict=True))
        if not passages:
            return np.empty(0)
        query = self._scaled(np.asarray(self._embeddings.embed_query(question), np.float64))
        similarities: Scores = np.stack([self._vectors[passage] for passage in passages]) @ query
        return similarities

    def _embedded(self, passages: Sequence[Passage]) -> Scores:
        if isinstance(self._embeddings, TinyDPREmbeddings):
            return np.asarray(self._embeddings.embed_passages(passages), np.float64)
        return np.asarray(self._embeddings.embed_documents([passage.text for passage in passages]), np.float64)

    def _scaled(self, vectors: Scores) -> Scores:
        """To unit length, where similarities are cosines."""
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / np.where(norms > 0, norms, 1) if self.cosine else vectors


def _read(scores: Scores, reading: tuple[float, float]) -> Scores:
    constant, factor = reading
    return constant + factor * scores
