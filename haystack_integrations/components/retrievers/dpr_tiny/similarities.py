"""Query-document similarities, from the documents' embeddings or, if they have none, from the retriever's scores."""

from collections.abc import Sequence

import numpy as np
from haystack import Document

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines
from haystack_integrations.components.joiners.dpr_tiny.scores import embedding_scores


def are_cosines(encoder: Encoder) -> bool:
    """Whether the model compares vectors by cosine rather than by dot product."""
    return scores_are_cosines(encoder.similarity, normalize=encoder.normalize)


def similarities(encoder: Encoder, embedding: Sequence[float], found: Sequence[Document]) -> dict[str, float]:
    """Return the similarity of each document to the query embedding, by document id.

    Raises ValueError for embeddings of another width and, where they did not come with the documents, for scores that
    are neither cosines nor dot products.
    """
    cosine = are_cosines(encoder)
    if not found or any(document.embedding is None for document in found):
        return embedding_scores(found, "cosine" if cosine else "dot")
    for document in found:
        if len(document.embedding or ()) != len(embedding):
            raise ValueError(
                f"the embedding of document {document.id} has {len(document.embedding or ())} floats, those of the "
                f"text embedder {len(embedding)}; expected documents that were embedded with the same model"
            )
    vectors, query = np.array([document.embedding for document in found]), np.array(embedding)
    if cosine:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        query = query / max(float(np.linalg.norm(query)), 1e-12)
    return dict(zip((document.id for document in found), (vectors @ query).tolist(), strict=True))
