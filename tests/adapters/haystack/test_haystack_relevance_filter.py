"""TinyDPRRelevanceFilter: scores become similarities, whatever the store returns, and are thresholded."""

from dataclasses import replace

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_checks import store_in_memory

from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder
from haystack_integrations.components.retrievers.dpr_tiny import TinyDPRRelevanceFilter

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]

QUESTION = "How many hearts does an octopus have?"


@pytest.fixture(scope="module")
def embedder() -> TinyDPRTextEmbedder:
    return TinyDPRTextEmbedder()


@pytest.fixture
def store(documents: list[Document]) -> InMemoryDocumentStore:
    store = store_in_memory()
    store.write_documents(TinyDPRDocumentEmbedder().run(documents)["documents"])
    return store


def cosines(store: InMemoryDocumentStore, embedder: TinyDPRTextEmbedder, question: str) -> dict[str, float]:
    question_vector = np.array(embedder.run(question)["embedding"])
    return {document.id: float(np.dot(document.embedding, question_vector)) for document in store.storage.values()}


@pytest.mark.parametrize("returns", [{"return_embedding": True, "scale_score": True}, {}], ids=["vectors", "scores"])
def test_scores_are_cosines_and_what_is_below_the_threshold_is_dropped(
    returns: dict[str, bool], store: InMemoryDocumentStore, embedder: TinyDPRTextEmbedder
) -> None:
    expected = cosines(store, embedder, QUESTION)
    vector = embedder.run(QUESTION)["embedding"]
    found = InMemoryEmbeddingRetriever(store, **returns).run(query_embedding=vector)["documents"]
    threshold = sorted(expected.values())[-3]
    output = TinyDPRRelevanceFilter(threshold - 1e-6, embedder).run(found, vector)["documents"]
    best = sorted(expected, key=lambda id: -expected[id])[:3]
    assert [document.id for document in output] == best
    assert [document.score for document in output] == pytest.approx([expected[id] for id in best], abs=1e-5)


def test_the_bundled_pair_has_a_threshold_of_its_own(
    store: InMemoryDocumentStore, embedder: TinyDPRTextEmbedder, documents: list[Document]
) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", TinyDPRTextEmbedder())
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store))
    pipeline.add_component("filter", TinyDPRRelevanceFilter())
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("embedder.embedding", "filter.query_embedding")
    pipeline.connect("retriever", "filter")
    for made in (pipeline, Pipeline.loads(pipeline.dumps())):
        answered = made.run({"embedder": {"text": QUESTION}})["filter"]["documents"]
        assert answered[0].meta["title"] == "Octopus"
        assert len(answered) < len(documents)
        unanswered = made.run({"embedder": {"text": "How do I reset the password of my router?"}})
        assert unanswered["filter"]["documents"] == []


def test_scores_that_are_no_similarities_are_refused(
    store: InMemoryDocumentStore, embedder: TinyDPRTextEmbedder
) -> None:
    vector = embedder.run(QUESTION)["embedding"]
    relevance = TinyDPRRelevanceFilter(0.5, embedder)
    scaled = InMemoryEmbeddingRetriever(store, scale_score=True).run(query_embedding=vector)["documents"]
    with pytest.raises(ValueError, match="scale_score=False"):
        relevance.run(scaled, vector)
    distances = [replace(document, score=0.1 * rank) for rank, document in enumerate(scaled)]
    with pytest.raises(ValueError, match="scores that are distances"):
        relevance.run(distances, vector)
    assert relevance.run([], vector) == {"documents": []}


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(TypeError, match="text_embedder is a str; expected a TinyDPRTextEmbedder"):
        TinyDPRRelevanceFilter(0.5, "bundled")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="threshold is 'high'; expected a number or None"):
        TinyDPRRelevanceFilter("high")  # type: ignore[arg-type]
