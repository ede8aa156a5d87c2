"""The haystack-ai component that blends the documents of an embedding retriever with those of a BM25 retriever."""

from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, get_args

from haystack import Document, component, logging

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from dpr_tiny_retriever.model_stamp import OnMismatch, check_on_mismatch
from dpr_tiny_retriever.retrieval.blended_search import BlendedHit, blended_hits
from dpr_tiny_retriever.types import Similarity
from haystack_integrations.components.embedders.dpr_tiny.embedder import described
from haystack_integrations.components.joiners.dpr_tiny.scores import bm25_scores, embedding_scores

logger = logging.getLogger(__name__)


@described
@component
@dataclass(eq=False, repr=False)
class TinyDPRBlendJoiner:
    """Ranks what an embedding retriever and a BM25 retriever found by both their scores.

    Any two retrievers will do, of one document store or of two that hold the same documents under the same ids. Make
    both with scale_score=False, which is the default of most, and with top_k=100: the blend ranks best with lists of
    that length. Scores are read from Document.score, where higher must be better.

    top_k: documents returned.
    similarity: what the embedding retriever's scores are: "cosine" for cosines and for dot products of vectors of unit
        length, as those of the bundled pair; "dot" for dot products of others.
    retriever_top_k: how many documents each retriever is asked for; None: as many as the longer list holds.
    on_mismatch: "error" or "warn", where embedding_documents were embedded by several models, as their stamps say. That
        it is the model of the question the text embedder checks, in its pipeline.
    """

    top_k: int = 10
    _: KW_ONLY
    similarity: Similarity = "cosine"
    retriever_top_k: int | None = None
    on_mismatch: OnMismatch = "error"

    def __post_init__(self) -> None:
        check_count("top_k", self.top_k)
        if self.similarity not in get_args(Similarity):
            raise ValueError(f"similarity is {self.similarity!r}; expected 'cosine' or 'dot'")
        if self.retriever_top_k is not None:
            check_count("retriever_top_k", self.retriever_top_k)
        check_on_mismatch(self.on_mismatch)

    def describe(self) -> str:
        """Return a repr with all parameters."""
        parameters = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"TinyDPRBlendJoiner({parameters})"

    @component.output_types(documents=list[Document], explanations=list[dict[str, Any]])
    def run(
        self, embedding_documents: list[Document], bm25_documents: list[Document], top_k: int | None = None
    ) -> dict[str, Any]:
        """Blend two lists: {"documents": the best, each with its blended score, "explanations": one dict for each}.

        An explanation holds id, score, embedding_rank, embedding_score, bm25_rank and bm25_score; ranks count from 1,
        and None stands for a list without the document. Documents are copies; their meta is as it was. Among equal
        scores the document seen first comes first, where the embedding retriever's list is seen before the other.

        Raises ValueError for scores that are missing, not in descending order, or evidently scaled, and
        ModelMismatchError, or warns, for embedding_documents of several models.
        """
        self._check_one_model(embedding_documents)
        top_k = self.top_k if top_k is None else check_count("top_k", top_k)
        dense, bm25 = embedding_scores(embedding_documents, self.similarity), bm25_scores(bm25_documents)
        numbers = {id: number for number, id in enumerate(dict.fromkeys([*dense, *bm25]))}
        hits = blended_hits(
            dense,
            bm25,
            top_k,
            cosine=self.similarity == "cosine",
            number_of=numbers.__getitem__,
            depth=self.retriever_top_k or max(len(dense), len(bm25), 1),
        )
        by_id: dict[str, Document] = {}
        for document in (*embedding_documents, *bm25_documents):
            by_id.setdefault(document.id, document)
        documents = [replace(by_id[hit.id], score=hit.score) for hit in hits]
        return {"documents": documents, "explanations": [explanation(hit) for hit in hits]}

    def _check_one_model(self, documents: list[Document]) -> None:
        stamps = sorted({str(document.meta.get(STAMP_KEY)) for document in documents if STAMP_KEY in document.meta})
        if len(stamps) < 2:
            return
        problem = (
            f"embedding_documents were embedded by {stamps[0]} and by {stamps[1]}, whose scores cannot be compared; "
            "expected documents of one model: embed those of the other again"
        )
        if self.on_mismatch == "error":
            raise ModelMismatchError(problem)
        logger.warning("{problem}", problem=problem)


def explanation(hit: BlendedHit) -> dict[str, Any]:
    """Why a document stands where it does, as plain data: its rank and score in each of the two lists."""
    placement = hit.placement
    return {
        "id": hit.id,
        "score": hit.score,
        "embedding_rank": placement.dense_rank,
        "embedding_score": placement.dense_score,
        "bm25_rank": placement.bm25_rank,
        "bm25_score": placement.bm25_score,
    }


def check_count(name: str, value: int) -> int:
    """The value, if it is an int of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; expected an int")
    if value < 1:
        raise ValueError(f"{name} is {value}; expected at least 1")
    return value
