"""The haystack-ai component that turns a retriever's scores into similarities and applies a threshold to them."""

from dataclasses import dataclass, replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.serialization import component_from_dict, component_to_dict

from dpr_tiny_retriever.checkpoints.bundled_pairs import is_bundled
from dpr_tiny_retriever.retrieval.fusion import NOTHING_NEAR
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRTextEmbedder
from haystack_integrations.components.embedders.dpr_tiny.embedder import described
from haystack_integrations.components.retrievers.dpr_tiny.similarities import similarities


@described
@component
@dataclass(eq=False, repr=False)
class TinyDPRRelevanceFilter:
    """Keeps the documents whose similarity to the query reaches a threshold, and sets their scores to it.

    It stands behind the embedding retriever of any store; connect the text embedder's embedding to it, too. What stores
    call a score differs: a cosine, a distance, or either scaled. Where documents come with their vectors (always from
    Chroma, FAISS and pgvector, with return_embedding=True from InMemory and Qdrant) the similarity is computed from
    these; else the score has to be one, and not scaled. Documents that another model embedded are an error, or a
    warning, as the text embedder's on_mismatch says.

    threshold: the least similarity, a cosine for vectors of unit length, a dot product for others; None: the bundled
        pair's own, or none for another model.
    text_embedder: the model for questions, as in the pipeline; None: the bundled pair's.
    """

    threshold: float | None = None
    text_embedder: TinyDPRTextEmbedder | None = None

    def __post_init__(self) -> None:
        if self.text_embedder is None:
            self.text_embedder = TinyDPRTextEmbedder()
        if not isinstance(self.text_embedder, TinyDPRTextEmbedder):
            raise TypeError(
                f"text_embedder is a {type(self.text_embedder).__name__}; expected a TinyDPRTextEmbedder, whose model "
                "the documents are compared with"
            )
        number = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        if self.threshold is not None and not number:
            raise TypeError(f"threshold is {self.threshold!r}; expected a number or None")
        self._embedder = self.text_embedder

    def describe(self) -> str:
        """Return the repr: threshold and model."""
        return f"TinyDPRRelevanceFilter(threshold={self.threshold!r}, {self._embedder!r})"

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document], query_embedding: list[float]) -> dict[str, list[Document]]:
        """Filter documents: {"documents": copies of those that reach the threshold, most similar first, rescored}.

        Raises ModelMismatchError for documents of another model, ValueError for embeddings of another width and, where
        documents come without theirs, for scores that are neither cosines nor dot products.
        """
        self._embedder.check_stamps(documents)
        encoder = self._embedder.encoder
        scores = similarities(encoder, query_embedding, documents)
        threshold = self.threshold
        if threshold is None and is_bundled(self._embedder.model) and encoder.normalize:
            threshold = NOTHING_NEAR
        near = [id for id, score in scores.items() if threshold is None or score >= threshold]
        by_id = {document.id: document for document in documents}
        return {"documents": [replace(by_id[id], score=scores[id]) for id in sorted(near, key=lambda id: -scores[id])]}

    def warm_up(self) -> None:
        """Load the model; otherwise the first run() loads it."""
        self._embedder.warm_up()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component and its text embedder to plain data."""
        embedder = component_to_dict(self._embedder, "text_embedder")
        return default_to_dict(self, threshold=self.threshold, text_embedder=embedder)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TinyDPRRelevanceFilter":
        """Deserialize what to_dict returned; data is not modified."""
        parameters = dict(data.get("init_parameters", {}))
        if (part := parameters.get("text_embedder")) is not None:
            parameters["text_embedder"] = component_from_dict(TinyDPRTextEmbedder, part, "text_embedder")
        made: TinyDPRRelevanceFilter = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made
