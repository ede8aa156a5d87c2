"""FAISS on SQLite and Qdrant in a folder: titled documents indexed, reopened, updated, filtered and deleted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document
from haystack.document_stores import FAISSDocumentStore
from qdrant_haystack import QdrantDocumentStore

from dpr_tiny_retriever import STAMP_KEY
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = [
    pytest.mark.farm_haystack,
    pytest.mark.filterwarnings("ignore:`recreate_collection` method is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Coercing Alias object into a select"),  # by delete_documents of SQL
]


class Faiss:
    """A store whose documents are in SQLite, and whose vectors are in a file that save() writes."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.index = folder / "index.faiss"
        url = f"sqlite:///{folder}/documents.db"
        self.store = FAISSDocumentStore(sql_url=url, progress_bar=False, return_embedding=True, **options)

    def reopened(self) -> FAISSDocumentStore:
        self.store.save(self.index)
        self.store = FAISSDocumentStore.load(self.index)
        return self.store


class Qdrant:
    """Qdrant in a local folder, which only one client can open at a time."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.options = {"path": str(folder / "qdrant"), "progress_bar": False, **options}
        self.store = QdrantDocumentStore(**self.options)

    def reopened(self) -> QdrantDocumentStore:
        self.store.client.close()
        self.store = QdrantDocumentStore(**self.options)
        return self.store


#: A pair by the options that load it, and the similarity of the store.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "bundled, dot product": ({}, "dot_product"),
    "bundled, cosine": ({}, "cosine"),
    "bundled, L2": ({}, "l2"),
    "dot product": ({"model": "pair"}, "dot_product"),
    "exact_dot, cosine": ({"model": "pair", "exact_dot": True}, "cosine"),
    "exact_dot, L2": ({"model": "pair", "exact_dot": True}, "l2"),
    "exact_dot, dot product": ({"model": "pair", "exact_dot": True}, "dot_product"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, pair_directory: Path) -> tuple[dict[str, Any], str]:
    options, similarity = CASES[request.param]
    return {**options, **({"model": pair_directory} if "model" in options else {})}, similarity


def brute_force(retriever: TinyDPRRetriever, documents: list[Document], question: str) -> list[tuple[str, float]]:
    """All documents by the dot product of freshly encoded vectors, best first."""
    pairs = [(document.meta["name"], document.content) for document in documents]
    scores = retriever.encoder.encode_passages(pairs) @ retriever.encoder.encode_queries([question])[0]
    order = np.argsort(-scores, kind="stable")
    return [(documents[row].id, pytest.approx(float(scores[row]), abs=2e-4)) for row in order]  # type: ignore[misc]


@pytest.mark.parametrize("kind", [Faiss, Qdrant])
def test_a_store_ranks_as_every_vector_does(
    kind: Callable[..., Faiss | Qdrant],
    case: tuple[dict[str, Any], str],
    documents: list[Document],
    questions: dict[str, str],
    tmp_path: Path,
) -> None:
    options, similarity = case
    width = 129 if options.get("exact_dot") else 128
    opened = kind(tmp_path, embedding_dim=width, similarity=similarity)
    retriever = TinyDPRRetriever(opened.store, top_k=20, scale_score=False, progress_bar=False, **options)

    def found(question: str, **how: Any) -> list[tuple[str, float]]:
        found = retriever.retrieve(question, **how)
        assert {document.meta[STAMP_KEY] for document in found} == {str(retriever.encoder.stamp)}
        return [(document.id, document.score) for document in found]

    opened.store.write_documents(documents)
    opened.store.update_embeddings(retriever)
    for question in questions:
        assert found(question) == brute_force(retriever, documents, question)
    batch = retriever.retrieve_batch(list(questions))
    assert [[one.id for one in each] for each in batch] == [[id for id, _ in found(one)] for one in questions]
    retriever.document_store = opened.reopened()
    question = next(iter(questions))
    assert found(question) == brute_force(retriever, documents, question)

    changed = [Document(id="Owl", content="A lamp warns ships.", meta={"name": "Owl", "topic": "animal"})]
    opened.store.write_documents(changed, duplicate_documents="overwrite")
    opened.store.update_embeddings(retriever)
    now = [*changed, *(document for document in documents if document.id != "Owl")]
    assert found(question) == brute_force(retriever, now, question)
    if kind is Qdrant:  # FAISSDocumentStore ignores filters, unless they are for a blend
        animals = [document for document in now if document.meta["topic"] == "animal"]
        assert found(question, filters={"topic": ["animal"]}) == brute_force(retriever, animals, question)
    opened.store.delete_documents(ids=["Owl", "Comet"])
    if kind is Faiss:  # it numbers its vectors anew, and documents keep the numbers of before
        opened.store.update_embeddings(retriever)
    now = [document for document in now if document.id not in ("Owl", "Comet")]
    assert found(question) == brute_force(retriever, now, question)


@pytest.mark.parametrize("similarity", ["cosine", "l2", "dot_product"])
def test_a_blend_of_vectors_with_exact_dot_is_that_of_dot_products(
    similarity: str, documents: list[Document], questions: dict[str, str], pair_directory: Path, tmp_path: Path
) -> None:
    blends = []
    for exact in (False, True):
        (tmp_path / str(exact)).mkdir()
        width, by = (129, similarity) if exact else (128, "dot_product")
        store = Faiss(tmp_path / str(exact), embedding_dim=width, similarity=by).store
        retriever = TinyDPRRetriever(store, pair_directory, mode="blend", scale_score=False, exact_dot=exact)
        store.write_documents(documents)
        store.update_embeddings(retriever)
        blends.append(
            [[(one.id, pytest.approx(one.score, abs=1e-3)) for one in retriever.retrieve(asked)] for asked in questions]
        )
    assert blends[0] == blends[1]


@pytest.mark.parametrize("similarity", ["dot_product", "cosine", "l2"])
def test_scores_from_0_to_1_mean_the_same_in_every_store(
    similarity: str, documents: list[Document], pair_directory: Path, tmp_path: Path
) -> None:
    for model, exact in ((None, False), (pair_directory, True)):
        folder = tmp_path / str(exact)
        folder.mkdir()
        store = Faiss(folder, embedding_dim=128 + exact, similarity=similarity).store
        retriever = TinyDPRRetriever(store, model, exact_dot=exact, progress_bar=False)
        store.write_documents(documents)
        store.update_embeddings(retriever)
        scaled = [document.score for document in retriever.retrieve("What warns ships of rocks?")]
        raw = [document.score for document in retriever.retrieve("What warns ships of rocks?", scale_score=False)]
        assert scaled == sorted(scaled, reverse=True)
        expected = 1 / (1 + np.exp(-np.array(raw) / 100)) if exact else (np.array(raw) + 1) / 2
        assert scaled == pytest.approx(expected.tolist(), abs=1e-6)
