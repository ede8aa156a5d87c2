"""Queries and documents get the core's vectors, titles included."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from haystack import Document

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = pytest.mark.farm_haystack


@pytest.fixture(scope="module")
def core(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory)


def test_documents_get_the_vectors_of_the_core_for_the_same_titled_passages(
    retriever: TinyDPRRetriever, core: DualEncoder, documents: list[Document]
) -> None:
    vectors = retriever.embed_documents(documents)
    expected = core.encode_passages([Passage(document.meta["name"], document.content) for document in documents])
    assert vectors.shape == (12, 128)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_queries_get_the_vectors_of_the_core(retriever: TinyDPRRetriever, core: DualEncoder) -> None:
    queries = ["who wrote the first text", "where is the tower", ""]
    vectors = retriever.embed_queries(queries)
    assert vectors.shape == (3, 128)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, core.encode_queries(queries), atol=1e-5)
    passages = retriever.embed_documents([Document(content=queries[0])])
    assert np.abs(vectors[0] - passages[0]).max() > 0.01, "each side has its own encoder"


def test_no_texts_give_no_vectors(retriever: TinyDPRRetriever) -> None:
    assert retriever.embed_documents([]).shape == (0, 128)
    assert retriever.embed_queries([]).shape == (0, 128)


@pytest.mark.parametrize("meta", [{}, {"name": None}, {"name": ""}, {"title": "elsewhere"}])
def test_a_document_without_a_title_is_its_text_alone(
    retriever: TinyDPRRetriever, core: DualEncoder, meta: dict[str, object]
) -> None:
    [vector] = retriever.embed_documents([Document(content="the river and the city", meta=meta)])
    np.testing.assert_allclose(vector, core.encode_passages(["the river and the city"])[0], atol=1e-5)


def test_titles_come_from_title_field_or_are_left_out(pair_directory: Path, core: DualEncoder) -> None:
    document = Document(content="the river and the city", meta={"name": "file.txt", "heading": "tower"})
    named, untitled = core.encode_passages([Passage("tower", document.content), document.content])
    by_heading = TinyDPRRetriever(model=pair_directory, title_field="heading")
    np.testing.assert_allclose(by_heading.embed_documents([document])[0], named, atol=1e-5)
    without = TinyDPRRetriever(model=pair_directory, embed_title=False)
    np.testing.assert_allclose(without.embed_documents([document])[0], untitled, atol=1e-5)


@pytest.mark.parametrize("title", [1984, 3.5, float("nan"), True, ["a", "list"], b"bytes"])
def test_a_title_that_is_not_a_str_is_refused_unless_titles_are_left_out(
    pair_directory: Path, retriever: TinyDPRRetriever, title: object
) -> None:
    document = Document(content="text", id="d7", meta={"name": title})
    with pytest.raises(TypeError, match=rf"meta\['name'\] of document d7 is {type(title).__name__} .*title_field"):
        retriever.embed_documents([document])
    assert TinyDPRRetriever(model=pair_directory, embed_title=False).embed_documents([document]).shape == (
        1,
        128,
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (pd.DataFrame({"year": [1889], "height": [300]}), "table"),
        ("tower.png", "image"),
        ("bells.wav", "audio"),
    ],
)
def test_tables_images_and_audio_are_refused(retriever: TinyDPRRetriever, content: object, kind: str) -> None:
    documents = [Document(content="text"), Document(content=content, content_type=kind, id="d8")]  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=f"document d8 has content_type '{kind}'; expected 'text'.*turn them into text"
    ):
        retriever.embed_documents(documents)


@pytest.mark.parametrize("content", [None, 5, b"bytes", ["a"]])
def test_a_document_without_text_is_refused(retriever: TinyDPRRetriever, content: object) -> None:
    document = Document(content="text", id="d9")
    document.content = content
    with pytest.raises(
        ValueError, match=f"document d9 has no text: its content is a {type(content).__name__}; expected"
    ):
        retriever.embed_documents([document])


@pytest.mark.parametrize("content", ["", "   ", "\n\t", "\x00"])
def test_blank_text_is_encoded_like_empty_text(retriever: TinyDPRRetriever, core: DualEncoder, content: str) -> None:
    [vector] = retriever.embed_documents([Document(content=content, meta={"name": "tower"})])
    np.testing.assert_allclose(vector, core.encode_passages([Passage("tower", "")])[0], atol=1e-5)


@pytest.mark.parametrize("wrong", ["text", {"content": "text"}, None, [Document(content="text")]])
def test_an_item_that_is_not_a_document_is_named_by_its_position(retriever: TinyDPRRetriever, wrong: object) -> None:
    with pytest.raises(TypeError, match=f"document 1 is a {type(wrong).__name__}; expected a Document"):
        retriever.embed_documents([Document(content="text"), wrong])  # type: ignore[list-item]


@pytest.mark.parametrize("wrong", [None, 5, Document(content="text")])
def test_documents_that_are_not_a_list_are_refused(retriever: TinyDPRRetriever, wrong: object) -> None:
    with pytest.raises(TypeError, match=f"documents is a {type(wrong).__name__}; expected a list of Documents"):
        retriever.embed_documents(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("queries", ["a single query", None, 5, ["a query", None], [b"bytes"], [["nested"]], [{}]])
def test_queries_of_the_wrong_kind_are_refused(retriever: TinyDPRRetriever, queries: object) -> None:
    with pytest.raises(TypeError, match="expected"):
        retriever.embed_queries(queries)  # type: ignore[arg-type]


def test_vectors_do_not_depend_on_the_batch(
    pair_directory: Path, retriever: TinyDPRRetriever, documents: list[Document]
) -> None:
    together = retriever.embed_documents(documents)
    alone = np.concatenate([retriever.embed_documents([document]) for document in documents])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    by_five = TinyDPRRetriever(model=pair_directory, batch_size=5)
    np.testing.assert_allclose(by_five.embed_documents(documents), together, atol=1e-5)
    np.testing.assert_allclose(retriever.embed_documents(documents[::-1])[::-1], together, atol=1e-5)


def test_without_gpu_the_vectors_are_the_same(
    pair_directory: Path, retriever: TinyDPRRetriever, documents: list[Document]
) -> None:
    on_cpu = TinyDPRRetriever(model=pair_directory, use_gpu=False)
    np.testing.assert_allclose(on_cpu.embed_documents(documents), retriever.embed_documents(documents), atol=1e-5)
    np.testing.assert_allclose(on_cpu.embed_queries(["who"]), retriever.embed_queries(["who"]), atol=1e-5)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_is_shown_for_long_work_unless_switched_off(
    pair_directory: Path, retriever: TinyDPRRetriever
) -> None:
    quiet = TinyDPRRetriever(model=pair_directory, progress_bar=False)
    many = [Document(content="the tower", id=str(number)) for number in range(1100)]
    with contextlib.redirect_stderr(Terminal()) as terminal:
        retriever.embed_queries(["who"])
        retriever.embed_documents(many[:12])
        quiet.embed_documents(many)
        assert terminal.getvalue() == ""
        retriever.embed_documents(many)
    assert "1100/1100" in terminal.getvalue()


def test_maximum_lengths_replace_the_models(pair_directory: Path, core: DualEncoder) -> None:
    short = TinyDPRRetriever(model=pair_directory, max_seq_len_query=5, max_seq_len_passage=6)
    np.testing.assert_allclose(
        short.embed_queries(["who wrote the first text"]), core.encode_queries(["who wrote the"]), atol=1e-5
    )
    [vector] = short.embed_documents([Document(content="the river and the city of the tower")])
    np.testing.assert_allclose(vector, core.encode_passages(["the river and the"])[0], atol=1e-5)
    with pytest.raises(ValueError, match=r"513.*512"):
        TinyDPRRetriever(model=pair_directory, max_seq_len_passage=513)


def test_pooling_and_normalize_replace_the_models(pair_directory: Path) -> None:
    mean = TinyDPRRetriever(model=pair_directory, pooling="mean", normalize=True)
    expected = DualEncoder.from_pretrained(pair_directory, pooling="mean", normalize=True)
    vectors = mean.embed_queries(["who wrote the first text"])
    np.testing.assert_allclose(vectors, expected.encode_queries(["who wrote the first text"]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
