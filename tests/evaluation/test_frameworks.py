"""The frameworks' own retrieval and evaluation give our figures on the same data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.evaluators import (
    DocumentMAPEvaluator,
    DocumentMRREvaluator,
    DocumentNDCGEvaluator,
    DocumentRecallEvaluator,
)
from haystack.components.evaluators.document_recall import RecallMode
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from langchain_core.documents import Document as LangChainDocument
from langchain_core.vectorstores import InMemoryVectorStore
from retrieval_data import library_corpus, library_queries, write_beir

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings, TitledVectorStore
from dpr_tiny_retriever.evaluation import Dataset, Dense, evaluate, load_dataset
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = [pytest.mark.evaluation, pytest.mark.haystack, pytest.mark.langchain]

K = 5


@pytest.fixture(params=["random", "MiniLM"])
def model(request: pytest.FixtureRequest, pair_directory: Path, minilm_directory: Path) -> Path:
    """Random weights, which often rank wrongly, and real ones, which seldom do."""
    return pair_directory if request.param == "random" else minilm_directory


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """The library, with a second passage judged relevant to the first six questions."""
    queries, judgments = library_queries()
    more = [(f"q{n}", f"d{(n + 5) % 12}", 1) for n in range(6)]
    return load_dataset(write_beir(tmp_path, library_corpus(), queries, judgments + more))


def test_a_haystack_pipeline_finds_and_scores_as_evaluate_does(model: Path, dataset: Dataset) -> None:
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
    indexing = Pipeline()
    indexing.add_component("embedder", TinyDPRDocumentEmbedder(model, progress_bar=False))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder", "writer")
    documents = [
        Document(id=str(row), content=passage.text, meta={"title": passage.title})
        for row, passage in enumerate(dataset.corpus)
    ]
    indexing.run({"embedder": {"documents": documents}})

    querying = Pipeline()
    querying.add_component("embedder", TinyDPRTextEmbedder(model))
    querying.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=K))
    querying.connect("embedder.embedding", "retriever.query_embedding")
    found = [querying.run({"embedder": {"text": query}})["retriever"]["documents"] for query in dataset.queries]

    evaluating = Pipeline()
    evaluating.add_component("hit", DocumentRecallEvaluator(mode=RecallMode.SINGLE_HIT))
    evaluating.add_component("recall", DocumentRecallEvaluator(mode=RecallMode.MULTI_HIT))
    for name, evaluator in (
        ("mrr", DocumentMRREvaluator()),
        ("map", DocumentMAPEvaluator()),
        ("ndcg", DocumentNDCGEvaluator()),
    ):
        evaluating.add_component(name, evaluator)
    assert dataset.relevant is not None
    right = [[documents[row] for row in grades] for grades in dataset.relevant]
    inputs = {"ground_truth_documents": right, "retrieved_documents": found}
    scores = evaluating.run(dict.fromkeys(("hit", "recall", "mrr", "map", "ndcg"), inputs))

    dense = Dense("pair", DualEncoder.from_pretrained(model), metric="dot")
    (result,) = evaluate(dataset, [dense], ks=[K]).results
    assert scores["hit"]["score"] == pytest.approx(result.measures[f"hit@{K}"])
    assert scores["recall"]["score"] == pytest.approx(result.measures[f"recall@{K}"])
    # What is measured over ten or all ranks here is cut at K there.
    ranks = np.where(result.first_ranks <= K, result.first_ranks, 0)
    assert scores["mrr"]["score"] == pytest.approx(np.mean([1 / rank if rank else 0 for rank in ranks]))
    rows = [[int(document.id) for document in ranking] for ranking in found]
    assert rows == result.hits.rows[:, :K].tolist()


def test_a_langchain_retriever_finds_what_evaluate_finds(model: Path, dataset: Dataset) -> None:
    pair = DualEncoder.from_pretrained(model)
    # LangChain's store in memory compares by cosine.
    embeddings = TinyDPREmbeddings(model, exact_dot=not pair.normalize)
    store = TitledVectorStore(InMemoryVectorStore(embeddings))
    documents = [
        LangChainDocument(passage.text, metadata={"title": passage.title, "row": row})
        for row, passage in enumerate(dataset.corpus)
    ]
    store.add_documents(documents)
    retriever = store.as_retriever(search_kwargs={"k": K})
    rows = [[document.metadata["row"] for document in found] for found in retriever.batch(dataset.queries)]

    dense = Dense("pair", pair, metric="dot")
    (result,) = evaluate(dataset, [dense], ks=[K]).results
    assert rows == result.hits.rows[:, :K].tolist()
    assert dataset.relevant is not None
    found = [set(ranking) & grades.keys() for ranking, grades in zip(rows, dataset.relevant, strict=True)]
    assert result.measures[f"hit@{K}"] == pytest.approx(np.mean([bool(right) for right in found]))
    shares = [len(right) / len(grades) for right, grades in zip(found, dataset.relevant, strict=True)]
    assert result.measures[f"recall@{K}"] == pytest.approx(np.mean(shares))
