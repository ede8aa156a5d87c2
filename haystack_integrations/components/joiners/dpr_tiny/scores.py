"""What the scores of retrieved documents must be for a blend, and how scaled ones are told apart."""

import math
from collections.abc import Sequence

from haystack import Document, logging

from dpr_tiny_retriever.types import Similarity

logger = logging.getLogger(__name__)

# haystack scales with scale_score=True, in InMemoryDocumentStore and in most integrations: a dot product s becomes
# 1 / (1 + exp(-s / 100)), a cosine s becomes (s + 1) / 2, a BM25 score s becomes 1 / (1 + exp(-s / 8)).
_SCALED_DOT_PRODUCTS_OF_UNIT_VECTORS = (1 / (1 + math.exp(0.01)), 1 / (1 + math.exp(-0.01)))  # of -1 and of 1
# PostgreSQL's ts_rank, which is not BM25, mostly lies below 0.1.
#: So many scores do not lie in one of these narrow ranges by chance.
_TELLING_COUNT = 3
#: A cosine in float32 may exceed 1 by as much.
_TOLERANCE = 1e-3


def embedding_scores(documents: Sequence[Document], similarity: Similarity) -> dict[str, float]:
    """The score of each document by id; raises ValueError for scores that are not of that similarity."""
    scores = _scores(documents, "embedding_documents")
    values = list(scores.values())
    if similarity == "cosine" and any(abs(value) > 1 + _TOLERANCE for value in values):
        largest = max(values, key=abs)
        raise ValueError(
            f"embedding_documents hold the score {largest:g}; expected cosines, from -1 to 1: for dot products of "
            'vectors that are not of unit length use similarity="dot", and for distances a store that ranks by cosine '
            "or dot product"
        )
    if similarity == "cosine" and _all_between(values, *_SCALED_DOT_PRODUCTS_OF_UNIT_VECTORS):
        raise ValueError(
            f"all scores of embedding_documents lie between {min(values):.4f} and {max(values):.4f}, as scaled dot "
            "products do; expected the scores themselves: make the embedding retriever with scale_score=False"
        )
    if similarity == "dot" and _all_between(values, 0, 1):
        logger.warning(
            "All scores of embedding_documents lie between 0 and 1. If they are scaled, make the embedding retriever "
            'with scale_score=False; if they are cosines, use similarity="cosine".'
        )
    return scores


def bm25_scores(documents: Sequence[Document]) -> dict[str, float]:
    """The score of each document by id; a document whose score is not above 0 shares no word with the query: left out.

    Warns where all scores lie below 1, as scaled ones do.
    """
    scores = _scores(documents, "bm25_documents")
    if _all_between(list(scores.values()), 0, 1):
        logger.warning(
            "All scores of bm25_documents lie between 0 and 1, as scaled ones do, and others that are not BM25. If "
            "they are scaled, make the BM25 retriever with scale_score=False; if they are not BM25, use "
            "TinyDPRBlendRetriever, which counts words itself."
        )
    return {id: score for id, score in scores.items() if score > 0}


def _scores(documents: Sequence[Document], name: str) -> dict[str, float]:
    """The score of each document by id; a document that stands twice in the list keeps its first score."""
    scores: dict[str, float] = {}
    previous = math.inf
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            raise TypeError(f"item {position} of {name} is a {type(document).__name__}; expected a haystack Document")
        if document.score is None or math.isnan(document.score):
            raise ValueError(
                f"document {document.id} of {name} has the score {document.score}; expected a number: connect a "
                "retriever that scores its documents, and no component in between that takes the score off"
            )
        if document.score > previous:
            raise ValueError(
                f"{name} are not in descending order: a score of {previous:g} is followed by {document.score:g}; "
                "expected the best first, where higher is better: scores that are distances cannot be blended"
            )
        previous = document.score
        scores.setdefault(document.id, float(document.score))
    return scores


def _all_between(values: Sequence[float], lowest: float, highest: float) -> bool:
    return len(values) >= _TELLING_COUNT and all(lowest < value < highest for value in values)
