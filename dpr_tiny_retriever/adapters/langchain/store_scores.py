"""Convert the scores of vector stores, whose meaning differs by store, to similarities and relevances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from dpr_tiny_retriever.adapters.langchain.embeddings import TinyDPREmbeddings
from dpr_tiny_retriever.exact_dot import dot_from_cosine, dot_from_squared_l2, exact_dot_bound
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines

Scores = NDArray[np.floating[Any]]
Value = TypeVar("Value", float, Scores)

#: The kinds of score that stores return: the similarity itself (InMemoryVectorStore, Qdrant, FAISS by inner product),
#: 1 - similarity (PGVectorStore by cosine, Chroma by cosine and ip), the L2 distance (PGVectorStore, Qdrant) and its
#: square (FAISS, Chroma, Milvus).
ScoreKind = Literal["similarity", "distance", "l2", "squared_l2"]
#: Passages encoded to detect the kind of score, and the distinct scores needed to keep the result for later searches.
_SAMPLES = 8
_TELLING_SAMPLES = 3
#: Passages whose vectors are cached, at most; then the cache is emptied.
_LARGEST_CACHE = 10_000
#: Largest difference, as a cosine, between a store's score and the exact one. Scores of quantized vectors exceed it, so
#: their hits are encoded.
_TOLERANCE = 1e-3
#: The kinds of score to try, in this order; the last two occur with exact_dot pairs only.
_READINGS = (*get_args(ScoreKind), "cosine", "cosine distance")


def relevance_score_fn(embeddings: TinyDPREmbeddings, kind: ScoreKind = "similarity") -> Callable[[float], float]:
    """Return the function that turns a store's score into a relevance: the cosine, or 0 where it is negative.

    For stores that take a relevance_score_fn, such as Chroma and FAISS, whose own functions assume other scores: with
    it, score thresholds are cosines in every store. A TitledVectorStore needs none.

    kind: what the store returns as score; docs/stores.md says it of each store. "similarity" is the cosine or dot
        product, "distance" 1 - similarity, "l2" and "squared_l2" are L2 distances.
    Raises ValueError for another kind, and for a pair whose vectors do not have unit length: its scores depend on the
    length of the question's vector, which the function is not told.
    """
    if kind not in get_args(ScoreKind):
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(map(repr, get_args(ScoreKind)))}")
    if not embeddings.encoder.normalize:
        raise ValueError(
            "the vectors of this pair do not have unit length, so that a score alone does not give a relevance; take "
            "relevance scores from TitledVectorStore(vectorstore), or load the pair with normalize=True"
        )
    return partial(_relevance, kind)


class StoreScores:
    """Converts a store's scores to cosines or dot products, whichever the embeddings compare by.

    The first searches encode some of the hits to detect the kind of score. If no known kind fits, all hits are encoded;
    their vectors are cached.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._reading: str | None = None
        self._vectors: dict[Passage, Scores] = {}
        #: Whether similarities are cosines: always, except for pairs that are compared by dot products of any length.
        self.cosine = True
        self._bound = 1.0
        self._readings = _READINGS[:4]
        if isinstance(embeddings, TinyDPREmbeddings):
            encoder = embeddings.encoder
            self.cosine = scores_are_cosines(encoder.similarity, normalize=encoder.normalize)
            if not self.cosine:
                passages = encoder.passage_encoder
                self._bound = encoder.exact_dot_bound or exact_dot_bound(passages.config, passages.weights)
                self._readings = _READINGS if passages.exact_dot else _READINGS[:2]

    def similarities(self, question: str, passages: Sequence[Passage], scores: Sequence[float | None]) -> Scores:
        """Return the similarity of each passage that the store has found to the question; float64 [n].

        scores: those of the store; None where it gives none.
        """
        given = np.array([np.nan if score is None else score for score in scores], np.float64)
        if not passages or np.isnan(given).any():
            return self._computed(question, passages)
        if self._reading is None:
            rows = np.unique(np.linspace(0, len(passages) - 1, _SAMPLES).round().astype(int))
            sampled = self._computed(question, [passages[row] for row in rows])
            allowed = _TOLERANCE * max(1.0, float(np.abs(sampled).max()))
            read = {kind: self._read(kind, question, given[rows]) for kind in self._readings}
            fitting = [kind for kind, values in read.items() if np.abs(values - sampled).max() <= allowed]
            if not fitting:
                return self._computed(question, passages)
            if len(fitting) > 1 or len(np.unique(given[rows])) < _TELLING_SAMPLES:
                return self._read(fitting[0], question, given)
            [self._reading] = fitting
        return self._read(self._reading, question, given)

    def relevances(self, question: str, passages: Sequence[Passage], scores: Sequence[float | None]) -> Scores:
        """Return the relevance of each passage, from 0 to 1; float64 [n]. Arguments are those of similarities.

        It is the cosine, or 0 where that is negative. For a pair that is compared by dot product it is the cosine of
        its exact_dot vectors: the dot product divided by the largest possible one for this question.
        """
        similarities = self.similarities(question, passages, scores)
        if not self.cosine:
            similarities = similarities / (self._query_norm(question) * self._bound)
        return np.clip(similarities, 0.0, 1.0)

    def _read(self, kind: str, question: str, scores: Scores) -> Scores:
        norm = 1.0 if self.cosine or kind in _READINGS[:2] else self._query_norm(question)
        return _similarity(kind, scores, norm, self._bound)

    def _query_norm(self, question: str) -> float:
        return float(np.linalg.norm(self._embeddings.embed_query(question)))

    def _computed(self, question: str, passages: Sequence[Passage]) -> Scores:
        if not passages:
            return np.empty(0)
        if len(self._vectors) > _LARGEST_CACHE:
            self._vectors = {}
        vectors = self._vectors  # another thread may replace the cache
        new = [passage for passage in dict.fromkeys(passages) if passage not in vectors]
        if new:
            vectors.update(zip(new, self._scaled(self._embedded(new)), strict=True))
        query = self._scaled(np.asarray(self._embeddings.embed_query(question), np.float64))
        similarities: Scores = np.stack([vectors[passage] for passage in passages]) @ query
        return similarities

    def _embedded(self, passages: Sequence[Passage]) -> Scores:
        if isinstance(self._embeddings, TinyDPREmbeddings):
            return np.asarray(self._embeddings.embed_passages(passages), np.float64)
        return np.asarray(self._embeddings.embed_documents([passage.text for passage in passages]), np.float64)

    def _scaled(self, vectors: Scores) -> Scores:
        """Normalize vectors to unit length if similarities are cosines."""
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / np.where(norms > 0, norms, 1) if self.cosine else vectors


def _similarity(kind: str, scores: Value, query_norm: float = 1.0, bound: float = 1.0) -> Value:
    """Convert scores of this kind to similarities; query_norm, bound: as in dot_from_cosine."""
    if kind == "similarity":
        return scores
    if kind == "distance":
        return 1 - scores
    if kind == "cosine":
        return dot_from_cosine(scores, query_norm, bound)
    if kind == "cosine distance":
        return dot_from_cosine(1 - scores, query_norm, bound)
    return dot_from_squared_l2(scores if kind == "squared_l2" else scores**2, query_norm, bound)


def _relevance(kind: str, score: float) -> float:
    return min(max(_similarity(kind, score), 0.0), 1.0)
