"""farm-haystack's `eval` and our evaluation give the same recall, MRR and MAP on the same data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"  # it warns of SQLAlchemy 2, which farm-haystack excludes

from haystack.document_stores import FAISSDocumentStore
from haystack.schema import Answer, Document, Label
from retrieval_data import library_corpus, library_queries, write_beir

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever
from dpr_tiny_retriever.evaluation import Dataset, Dense, evaluate, load_dataset

pytestmark = [pytest.mark.farm_haystack, pytest.mark.evaluation]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """The library, with wrong labels among the right ones.

    farm-haystack counts a question once per labelled document, so a second label here is a second question.
    """
    queries, judgments = library_queries()
    repeated = [{"_id": f"r{n}", "text": query["text"]} for n, query in enumerate(queries[:6])]
    wrong = [(f"r{n}", f"d{(n + 5) % 12}", 1) for n in range(6)]
    folder = write_beir(tmp_path / "library", library_corpus(), [*queries, *repeated], judgments + wrong)
    return load_dataset(folder)


def labelled_store(dataset: Dataset, path: Path, dim: int) -> FAISSDocumentStore:
    """The data set in a document store, a label for each judged passage."""
    store = FAISSDocumentStore(
        sql_url=f"sqlite:///{path / 'store.db'}", embedding_dim=dim, similarity="dot_product", index="eval_document"
    )
    documents = [
        Document(id=str(row), content=passage.text, meta={"name": passage.title})
        for row, passage in enumerate(dataset.corpus)
    ]
    store.write_documents(documents, index="eval_document")
    assert dataset.relevant is not None
    labels = [
        Label(
            query=query,
            document=documents[row],
            answer=Answer(answer=documents[row].content, document_ids=[str(row)]),
            is_correct_answer=True,
            is_correct_document=True,
            origin="gold-label",
        )
        for query, grades in zip(dataset.queries, dataset.relevant, strict=True)
        for row in grades
    ]
    store.write_labels(labels, index="label")
    return store


@pytest.mark.parametrize("weights", ["random", "MiniLM"])
@pytest.mark.parametrize("k", [1, 3, 12])
def test_eval_gives_the_measures_of_our_evaluation(
    tmp_path: Path, dataset: Dataset, pair_directory: Path, minilm_directory: Path, weights: str, k: int
) -> None:
    model = pair_directory if weights == "random" else minilm_directory
    encoder = DualEncoder.from_pretrained(model)
    store = labelled_store(dataset, tmp_path, encoder.embedding_dim)
    retriever = TinyDPRRetriever(store, model=str(model), progress_bar=False)
    store.update_embeddings(retriever, index="eval_document")
    theirs = retriever.eval(label_index="label", doc_index="eval_document", top_k=k)

    (result,) = evaluate(dataset, [Dense("pair", encoder, metric="dot")], ks=[k]).results
    assert theirs["n_questions"] == len(dataset.queries)
    assert theirs["recall"] == pytest.approx(result.measures[f"hit@{k}"])
    if k == 12:  # the whole corpus, so that neither side cuts the ranking before the other
        assert theirs["map"] == pytest.approx(result.measures["map"])
        assert theirs["mrr"] == pytest.approx(sum(1 / result.first_ranks) / len(dataset.queries))
