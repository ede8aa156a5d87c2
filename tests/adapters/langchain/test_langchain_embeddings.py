"""TinyDPREmbeddings: the core's vectors in LangChain's types."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, ModelNotFoundError, Passage
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings
from dpr_tiny_retriever.load_options import DEFAULTS

pytestmark = [pytest.mark.also_lowest, pytest.mark.langchain]

TEXTS = ["Tides | The sea rises and falls.", "Concrete is hard.", "", "Bees | honey | wax", "a" * 2000]


@pytest.fixture(scope="module")
def core(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory, normalize=True)


def test_documents_are_embedded_by_the_passage_encoder_as_title_and_text(
    embeddings: TinyDPREmbeddings, core: DualEncoder
) -> None:
    passages = [
        Passage("Tides", "The sea rises and falls."),
        Passage(None, "Concrete is hard."),
        Passage(None, ""),
        Passage("Bees", "honey | wax"),
        Passage(None, "a" * 2000),
    ]
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), core.encode_passages(passages), atol=1e-6)


def test_questions_are_embedded_by_the_query_encoder_and_never_split(
    embeddings: TinyDPREmbeddings, core: DualEncoder
) -> None:
    question = "tides | why does the sea rise?"
    vector = embeddings.embed_query(question)
    np.testing.assert_allclose(vector, core.encode_queries([question])[0], atol=1e-6)
    assert np.abs(np.subtract(vector, core.encode_passages([question])[0])).max() > 0.01


def test_without_a_separator_a_text_is_never_split(pair_directory: Path, core: DualEncoder) -> None:
    plain = TinyDPREmbeddings(pair_directory, normalize=True)
    np.testing.assert_allclose(plain.embed_documents(TEXTS), core.encode_passages(TEXTS), atol=1e-6)


def test_an_empty_title_means_no_title(embeddings: TinyDPREmbeddings, core: DualEncoder) -> None:
    vectors = embeddings.embed_documents([" | honey | wax"])
    np.testing.assert_allclose(vectors, core.encode_passages(["honey | wax"]), atol=1e-6)


def test_vectors_are_lists_of_python_floats(embeddings: TinyDPREmbeddings) -> None:
    query, documents = embeddings.embed_query("sea"), embeddings.embed_documents(["sea", "moon"])
    assert type(documents) is list
    for vector in (query, *documents):
        assert type(vector) is list
        assert len(vector) == embeddings.encoder.embedding_dim
        assert {type(value) for value in vector} == {float}


def test_no_documents_give_no_vectors(embeddings: TinyDPREmbeddings) -> None:
    assert embeddings.embed_documents([]) == []


def test_settings_reach_the_encoder(pair_directory: Path) -> None:
    embeddings = TinyDPREmbeddings(
        query_model=pair_directory / "query_encoder",
        passage_model=pair_directory / "passage_encoder",
        max_query_length=8,
        max_passage_length=12,
        pooling="mean",
        normalize=True,
        local_files_only=True,
    )
    core = DualEncoder.from_pretrained(
        pair_directory, max_query_length=8, max_passage_length=12, pooling="mean", normalize=True
    )
    text = "the sea rises and falls twice a day, drawn mostly by the moon and a little by the sun"
    np.testing.assert_allclose(embeddings.embed_documents([text]), core.encode_passages([text]), atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query(text), core.encode_queries([text])[0], atol=1e-6)
    assert np.linalg.norm(embeddings.embed_query(text)) == pytest.approx(1, abs=1e-5)


def test_backend_and_threads_reach_the_encoder(pair_directory: Path, core: DualEncoder) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, normalize=True, backend="numpy", threads=1)
    assert embeddings.encoder.backend == "numpy"
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), core.encode_passages(TEXTS), atol=1e-5)


def test_the_repr_names_model_width_and_backend(pair_directory: Path) -> None:
    shown = repr(TinyDPREmbeddings(pair_directory, backend="numpy"))
    assert shown.startswith("TinyDPREmbeddings(")
    for part in (repr(str(pair_directory)), "embedding_dim=128", "backend='numpy'"):
        assert part in shown


def test_batch_size_changes_no_vector(pair_directory: Path, core: DualEncoder) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, normalize=True, batch_size=1)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), core.encode_passages(TEXTS), atol=1e-5)


def test_a_batch_size_of_zero_is_refused(pair_directory: Path) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        TinyDPREmbeddings(pair_directory, batch_size=0).embed_documents(["sea"])


@pytest.mark.parametrize("show_progress", [True, False])
def test_a_progress_bar_shows_when_asked_for(
    pair_directory: Path, capfd: pytest.CaptureFixture[str], show_progress: bool
) -> None:
    embeddings = TinyDPREmbeddings(pair_directory, show_progress=show_progress)
    capfd.readouterr()
    embeddings.embed_documents(["sea", "moon"])
    assert ("2/2" in capfd.readouterr().err) is show_progress


def test_the_async_methods_give_the_same_vectors(embeddings: TinyDPREmbeddings) -> None:
    async def embed() -> tuple[list[list[float]], list[list[float]]]:
        documents, *queries = await asyncio.gather(
            embeddings.aembed_documents(TEXTS), *(embeddings.aembed_query(text) for text in TEXTS)
        )
        return documents, queries

    documents, queries = asyncio.run(embed())
    np.testing.assert_allclose(documents, embeddings.embed_documents(TEXTS), atol=1e-5)
    np.testing.assert_allclose(queries, [embeddings.embed_query(text) for text in TEXTS], atol=1e-5)


def test_eight_threads_share_one_object(embeddings: TinyDPREmbeddings) -> None:
    expected = embeddings.embed_documents(TEXTS)
    with ThreadPoolExecutor(8) as threads:
        for vectors in threads.map(embeddings.embed_documents, [TEXTS] * 16):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("clone", [lambda original: pickle.loads(pickle.dumps(original)), copy.deepcopy])
def test_a_clone_keeps_its_settings_and_vectors(pair_directory: Path, clone: object) -> None:
    assert callable(clone)
    original = TinyDPREmbeddings(
        pair_directory, title_separator=" | ", max_passage_length=16, normalize=True, batch_size=2
    )
    cloned = clone(original)
    assert cloned.title_separator == " | "
    assert cloned.batch_size == 2
    np.testing.assert_allclose(cloned.embed_documents(TEXTS), original.embed_documents(TEXTS), atol=1e-6)
    np.testing.assert_allclose(cloned.embed_query("sea"), original.embed_query("sea"), atol=1e-6)


def test_a_pickle_holds_neither_token_nor_weights(pair_directory: Path) -> None:
    pickled = pickle.dumps(TinyDPREmbeddings(pair_directory, token="hf_confidential"))
    assert b"hf_confidential" not in pickled
    assert len(pickled) < 10_000


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["sea", None], "passage 1 is None"),
        (["sea", "moon", 3.5], "passage 2 is float 3.5"),
        ([b"sea"], "passage 0 is bytes b'sea'"),
        (["sea", ["moon"]], "passage 1 is a list of 1"),
        ([{"text": "sea"}], "passage 0 is a dict with the keys text"),
        ("sea", "str 'sea'; expected a list"),
        (None, "None; expected a list"),
        (7, "int 7; expected a list"),
    ],
)
@pytest.mark.parametrize("title_separator", [None, " | "])
def test_documents_of_the_wrong_type_are_refused(
    pair_directory: Path,
    embeddings: TinyDPREmbeddings,
    texts: object,
    message: str,
    title_separator: str | None,
) -> None:
    tested = embeddings if title_separator else TinyDPREmbeddings(pair_directory)
    with pytest.raises(TypeError, match=message):
        tested.embed_documents(texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [None, 7, b"sea", ["sea"], {"query": "sea"}])
def test_a_question_of_the_wrong_type_is_refused(embeddings: TinyDPREmbeddings, text: object) -> None:
    with pytest.raises(TypeError, match=r"query 0 is .*; expected str"):
        embeddings.embed_query(text)  # type: ignore[arg-type]


def test_lone_surrogates_are_refused(embeddings: TinyDPREmbeddings) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        embeddings.embed_documents(["sea", "moon \ud800"])


@pytest.mark.parametrize("text", ["", "  \n", "nul \0 byte", "日本語", "🌊"])
def test_odd_texts_have_a_finite_vector(embeddings: TinyDPREmbeddings, text: str) -> None:
    assert np.isfinite(embeddings.embed_query(text)).all()
    assert np.isfinite(embeddings.embed_documents([text])).all()


@pytest.mark.parametrize(("separator", "error"), [("", ValueError), (3, TypeError), (["|"], TypeError)])
def test_an_empty_separator_or_one_that_is_not_a_str_is_refused(
    pair_directory: Path, separator: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="title_separator"):
        TinyDPREmbeddings(pair_directory, title_separator=separator)


def test_a_missing_model_is_an_error_in_the_constructor(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        TinyDPREmbeddings(tmp_path / "nowhere")


def test_an_unknown_option_is_refused(pair_directory: Path) -> None:
    message = r"there is no option encode_kwargs; expected model, .*title_separator, .*threads"
    with pytest.raises(TypeError, match=message):
        TinyDPREmbeddings(pair_directory, encode_kwargs={})  # type: ignore[call-arg]


def test_the_signature_spells_out_every_load_option() -> None:
    parameters = inspect.signature(TinyDPREmbeddings).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
