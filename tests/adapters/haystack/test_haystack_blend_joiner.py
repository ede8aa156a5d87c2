"""TinyDPRBlendJoiner: the documents of any embedding retriever and any BM25 retriever, ranked by both scores."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack_checks import indexing_pipeline, store_in_memory

from dpr_tiny_retriever import STAMP_KEY, ModelMismatchError
from dpr_tiny_retriever.retrieval.fusion import RankedList, blend
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRTextEmbedder
from haystack_integrations.components.joiners.dpr_tiny import TinyDPRBlendJoiner

pytestmark = [pytest.mark.also_lowest, pytest.mark.haystack]


def found(**scores: float | None) -> list[Document]:
    return [Document(id=id, content=id, score=score, meta={"title": id.upper()}) for id, score in scores.items()]


def test_documents_are_ranked_as_fusion_blends_their_scores() -> None:
    output = TinyDPRBlendJoiner(top_k=3, retriever_top_k=100).run(
        embedding_documents=found(a=0.9, b=0.7, c=0.2), bm25_documents=found(b=7.0, d=3.5)
    )
    dense, bm25 = RankedList([0, 1, 2], [0.9, 0.7, 0.2]), RankedList([1, 3], [7.0, 3.5])
    expected = blend(dense, bm25, 3, depth=100, cosine=True)
    assert [document.id for document in output["documents"]] == ["abcd"[number] for number in expected.ids]
    assert [document.score for document in output["documents"]] == list(expected.scores)


def test_an_explanation_gives_rank_and_score_in_each_list() -> None:
    output = TinyDPRBlendJoiner().run(embedding_documents=found(a=0.9, b=0.7), bm25_documents=found(b=7.0))
    scores = {document.id: document.score for document in output["documents"]}
    assert {explanation["id"]: explanation for explanation in output["explanations"]} == {
        "a": {
            "id": "a",
            "score": scores["a"],
            "embedding_rank": 1,
            "embedding_score": 0.9,
            "bm25_rank": None,
            "bm25_score": None,
        },
        "b": {
            "id": "b",
            "score": scores["b"],
            "embedding_rank": 2,
            "embedding_score": 0.7,
            "bm25_rank": 1,
            "bm25_score": 7.0,
        },
    }
    assert [explanation["id"] for explanation in output["explanations"]] == list(scores)


def test_documents_are_copies_whose_score_alone_is_new() -> None:
    dense, bm25 = found(a=0.9, b=0.5), found(c=2.0)
    output = TinyDPRBlendJoiner().run(dense, bm25)["documents"]
    originals = {document.id: document for document in (*dense, *bm25)}
    assert [document.score for document in (*dense, *bm25)] == [0.9, 0.5, 2.0]
    assert all(replace(document, score=originals[document.id].score) == originals[document.id] for document in output)


def test_equal_scores_keep_the_order_in_which_documents_were_first_seen() -> None:
    output = TinyDPRBlendJoiner().run(found(z=0.6, a=0.6), found(y=3.0, b=3.0))["documents"]
    order = [document.id for document in output]
    assert order.index("z") < order.index("a")
    assert order.index("y") < order.index("b")


def test_top_k_of_a_run_precedes_the_component_s() -> None:
    joiner = TinyDPRBlendJoiner(top_k=1)
    assert len(joiner.run(found(a=0.9, b=0.5), [])["documents"]) == 1
    assert len(joiner.run(found(a=0.9, b=0.5), [], top_k=2)["documents"]) == 2


def test_one_list_may_be_empty_and_so_may_both() -> None:
    joiner = TinyDPRBlendJoiner()
    assert [document.id for document in joiner.run(found(a=0.9, b=0.5), [])["documents"]] == ["a", "b"]
    assert [document.id for document in joiner.run([], found(a=3.0, b=0.5))["documents"]] == ["a", "b"]
    assert joiner.run([], []) == {"documents": [], "explanations": []}


def test_a_document_that_stands_twice_in_a_list_counts_once() -> None:
    twice = TinyDPRBlendJoiner(retriever_top_k=9).run([*found(a=0.9, b=0.5), *found(a=0.4)], found(b=1.0))
    once = TinyDPRBlendJoiner(retriever_top_k=9).run(found(a=0.9, b=0.5), found(b=1.0))
    assert twice == once


def test_documents_that_share_no_word_with_the_query_are_no_bm25_hits() -> None:
    output = TinyDPRBlendJoiner(retriever_top_k=9).run(found(a=0.9, b=0.5), found(b=1.0, c=0.0, a=-0.5))
    assert output == TinyDPRBlendJoiner(retriever_top_k=9).run(found(a=0.9, b=0.5), found(b=1.0))


@pytest.mark.parametrize(
    ("dense", "bm25", "message"),
    [
        (found(a=None), [], "document a of embedding_documents has the score None; expected a number"),
        ([], found(a=3.0, b=None), "document b of bm25_documents has the score None"),
        (found(a=float("nan")), [], "has the score nan"),
        (found(a=0.2, b=0.9), [], "embedding_documents are not in descending order: a score of 0.2 is followed by 0.9"),
        ([], found(a=-1.8, b=-0.1), "bm25_documents are not in descending order.*distances"),
        (found(a=63.0, b=20.0), [], 'the score 63; expected cosines, from -1 to 1.*similarity="dot"'),
        (found(a=0.5023, b=0.502, c=0.4999), [], "as scaled dot products do.*scale_score=False"),
    ],
)
def test_scores_that_cannot_be_blended_are_refused(dense: list[Document], bm25: list[Document], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TinyDPRBlendJoiner().run(dense, bm25)


@pytest.mark.parametrize(
    ("similarity", "dense", "bm25", "warned"),
    [
        ("cosine", [], found(a=0.8, b=0.7, c=0.6), "bm25_documents lie between 0 and 1"),
        ("cosine", [], found(a=0.05, b=0.03, c=0.01), "use TinyDPRBlendRetriever"),
        ("dot", found(a=0.8, b=0.7, c=0.6), [], "embedding_documents lie between 0 and 1"),
        ("cosine", found(a=0.8, b=0.7, c=0.6), found(a=1.2, b=0.7, c=0.6), ""),
        ("dot", found(a=80.0, b=70.0, c=60.0), [], ""),
    ],
)
def test_scores_that_may_be_scaled_are_warned_of(
    similarity: Any, dense: list[Document], bm25: list[Document], warned: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        TinyDPRBlendJoiner(similarity=similarity).run(dense, bm25)
    assert warned in caplog.text
    assert bool(caplog.text) == bool(warned)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": 0}, "top_k is 0; expected at least 1"),
        ({"retriever_top_k": 0}, "retriever_top_k is 0; expected at least 1"),
        ({"similarity": "l2"}, "similarity is 'l2'; expected 'cosine' or 'dot'"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TinyDPRBlendJoiner(**parameters)
    with pytest.raises(TypeError, match="top_k is '3'; expected an int"):
        TinyDPRBlendJoiner().run([], [], top_k="3")  # type: ignore[arg-type]


def test_what_is_no_document_is_refused() -> None:
    with pytest.raises(TypeError, match="item 0 of bm25_documents is a str; expected a haystack Document"):
        TinyDPRBlendJoiner().run([], ["text"])  # type: ignore[list-item]


def blending_pipeline(model: Path, store: Any, **options: Any) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("embedder", TinyDPRTextEmbedder(model))
    pipeline.add_component("by_embedding", InMemoryEmbeddingRetriever(store, top_k=100, **options))
    pipeline.add_component("by_bm25", InMemoryBM25Retriever(store, top_k=100, **options))
    pipeline.add_component("joiner", TinyDPRBlendJoiner(top_k=3, retriever_top_k=100))
    pipeline.connect("embedder.embedding", "by_embedding.query_embedding")
    pipeline.connect("by_embedding", "joiner.embedding_documents")
    pipeline.connect("by_bm25", "joiner.bm25_documents")
    return pipeline


def ask(pipeline: Pipeline, question: str) -> dict[str, Any]:
    result: dict[str, Any] = pipeline.run({"embedder": {"text": question}, "by_bm25": {"query": question}})["joiner"]
    return result


def test_a_pipeline_blends_the_retrievers_of_a_store_and_survives_yaml(
    minilm_directory: Path, documents: list[Document], questions: dict[str, str]
) -> None:
    store = store_in_memory()
    indexing_pipeline(minilm_directory, store).run({"splitter": {"documents": documents}})
    pipeline = blending_pipeline(minilm_directory, store)
    output = ask(pipeline, "How is espresso coffee made?")
    assert output["documents"][0].meta["title"] == "Espresso"
    assert output["explanations"][0]["embedding_rank"] == output["explanations"][0]["bm25_rank"] == 1
    again = Pipeline.loads(pipeline.dumps())
    assert [ask(again, question) for question in questions] == [ask(pipeline, question) for question in questions]


def test_scale_score_in_the_retrievers_is_told_with_the_remedy(
    minilm_directory: Path, documents: list[Document]
) -> None:
    store = store_in_memory()
    indexing_pipeline(minilm_directory, store).run({"splitter": {"documents": documents}})
    with pytest.raises(Exception, match="make the embedding retriever with scale_score=False"):
        ask(blending_pipeline(minilm_directory, store, scale_score=True), "How is espresso coffee made?")


def test_documents_of_several_models_are_an_error_or_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    documents = found(a=0.9, b=0.7, c=0.6)
    documents[0].meta[STAMP_KEY] = "one passage 256 tokens 0123456789ab"
    assert len(TinyDPRBlendJoiner().run(documents, [])["documents"]) == 3
    documents[1].meta[STAMP_KEY] = "two passage 256 tokens ba9876543210"
    with pytest.raises(
        ModelMismatchError, match=r"embedded by one passage .* and by two passage .*; expected documents"
    ):
        TinyDPRBlendJoiner().run(documents, [])
    with caplog.at_level(logging.WARNING):
        TinyDPRBlendJoiner(on_mismatch="warn").run(documents, [])
    assert "and by two passage" in caplog.text
    with pytest.raises(ValueError, match="on_mismatch is 'ignore'; expected 'error' or 'warn'"):
        TinyDPRBlendJoiner(on_mismatch="ignore")  # type: ignore[arg-type]


def test_its_repr_shows_its_parameters() -> None:
    assert repr(TinyDPRBlendJoiner(3)) == (
        "TinyDPRBlendJoiner(top_k=3, similarity='cosine', retriever_top_k=None, on_mismatch='error')"
    )
