"""Input that the embedders refuse, and how they load their models."""

import asyncio
import copy
import inspect
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document
from haystack.dataclasses import ByteStream
from haystack.utils import ComponentDevice, Secret
from haystack_checks import assert_same, vectors

from dpr_tiny_retriever import ModelNotFoundError
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

pytestmark = pytest.mark.haystack


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["who"], [Document(content="who")], {"text": "who"}])
def test_only_a_str_is_a_query(text: Any, text_embedder: TinyDPRTextEmbedder) -> None:
    with pytest.raises(TypeError, match=f"text is a {type(text).__name__}; .* use TinyDPRDocumentEmbedder"):
        text_embedder.run(text)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (None, "documents is a NoneType"),
        ("text", "documents is a str"),
        (Document(content="text"), "documents is a Document"),
        (["text"], "item 0 is a str"),
        ([Document(content="text"), None], "item 1 is a NoneType"),
        ([[Document(content="text")]], "item 0 is a list"),
        ([{"content": "text"}], "item 0 is a dict"),
    ],
)
def test_only_a_list_of_documents_is_embedded(
    argument: Any, message: str, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    with pytest.raises(TypeError, match=f"{message}; .* use TinyDPRTextEmbedder"):
        document_embedder.run(argument)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "a\0b", "🦑 Ⅻ 日本語", "word " * 2_000_000],
    ids=["empty", "blank", "NUL", "unicode", "10 MB"],
)
def test_every_other_str_has_a_vector(
    text: str, text_embedder: TinyDPRTextEmbedder, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    assert np.isfinite(text_embedder.run(text)["embedding"]).all()
    embedded = document_embedder.run([Document(id="1", content=text, meta={"title": text})])["documents"]
    assert embedded[0].embedding is not None
    assert np.isfinite(embedded[0].embedding).all()


def test_lone_surrogates_are_refused(
    text_embedder: TinyDPRTextEmbedder, document_embedder: TinyDPRDocumentEmbedder
) -> None:
    with pytest.raises(ValueError, match=r"U\+D83D"):
        text_embedder.run("\ud83d")
    with pytest.raises(ValueError, match=r"U\+D83D"):
        document_embedder.run([Document(id="half", content="\ud83d")])


@pytest.mark.parametrize("title", [1984, ["a", "b"], float("nan"), b"bytes"])
def test_a_title_that_is_not_a_str_is_refused_naming_its_document(
    title: Any, document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]
) -> None:
    message = rf"meta\['title'\] of document numbered is a {type(title).__name__}; expected a str or None"
    with pytest.raises(TypeError, match=message):
        document_embedder.run([*documents, Document(id="numbered", content="text", meta={"title": title})])


def test_a_document_without_content_is_refused_naming_its_id(
    document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]
) -> None:
    image = Document(id="image", blob=ByteStream(b"\x89PNG", mime_type="image/png"), meta={"title": "A picture"})
    with pytest.raises(ValueError, match="document image has no text: its content is None; expected a str"):
        document_embedder.run([*documents, image])


def test_a_token_that_is_not_a_secret_is_refused_and_not_repeated(pair_directory: Path) -> None:
    plain: Any = "hf_1234"
    with pytest.raises(TypeError, match="token is a str; expected a Secret") as error:
        TinyDPRTextEmbedder(pair_directory, token=plain)
    assert plain not in str(error.value)


def test_meta_fields_that_are_a_str_are_refused(pair_directory: Path) -> None:
    name: Any = "author"
    with pytest.raises(TypeError, match=r"expected a list of names: \['author'\]"):
        TinyDPRDocumentEmbedder(pair_directory, meta_fields_to_embed=name)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(batch_size: int, pair_directory: Path, documents: list[Document]) -> None:
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}"):
        TinyDPRDocumentEmbedder(pair_directory, batch_size=batch_size).run(documents)


@pytest.mark.parametrize("max_length", [2, 100_000])
def test_a_length_that_the_model_cannot_take_is_refused(max_length: int, pair_directory: Path) -> None:
    with pytest.raises(ValueError, match=f"length is {max_length}"):
        TinyDPRTextEmbedder(pair_directory, max_length=max_length).warm_up()


@pytest.mark.parametrize("embedder", [TinyDPRTextEmbedder, TinyDPRDocumentEmbedder])
@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"backend": "torch"}, ValueError, "backend is 'torch'; expected 'auto', 'native'"),
        ({"threads": 0}, ValueError, "threads is 0; expected at least 1"),
        ({"threads": "2"}, TypeError, "threads is '2'; expected a whole number"),
        ({"precision": "int8"}, ValueError, "precision is 'int8'; expected 'float32' or 'bfloat16'"),
        ({"pooling": "max"}, ValueError, "pooling is 'max'; expected 'pooler'"),
        ({"device": ComponentDevice.from_str("cpu")}, TypeError, "device is a ComponentDevice; expected None or"),
    ],
)
def test_a_wrong_option_is_refused_by_the_constructor(
    embedder: Any, option: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        embedder("no/such-model", **option)


def test_both_embedders_share_parameters_and_defaults() -> None:
    text = inspect.signature(TinyDPRTextEmbedder.__init__).parameters
    document = inspect.signature(TinyDPRDocumentEmbedder.__init__).parameters
    assert {name: document[name] for name in text} == dict(text)
    assert set(document) - set(text) == {
        "title_meta_field",
        "meta_fields_to_embed",
        "embedding_separator",
        "batch_size",
        "stamp_documents",
    }


@pytest.mark.parametrize("embedder", [TinyDPRTextEmbedder, TinyDPRDocumentEmbedder])
def test_a_missing_model_is_an_error_at_warm_up(embedder: Any, tmp_path: Path) -> None:
    cold = embedder(tmp_path / "nowhere", token=Secret.from_env_var("NEVER_SET", strict=False))
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        cold.warm_up()


def test_a_token_is_read_at_warm_up(pair_directory: Path) -> None:
    cold = TinyDPRTextEmbedder(pair_directory, token=Secret.from_env_var("NEVER_SET"))
    with pytest.raises(ValueError, match="NEVER_SET"):
        cold.warm_up()


def test_each_embedder_loads_only_its_side(pair_directory: Path, tmp_path: Path) -> None:
    for side in ("query", "passage"):
        (tmp_path / side).mkdir()
        (tmp_path / side / f"{side}_encoder").symlink_to(pair_directory / f"{side}_encoder")
    TinyDPRTextEmbedder(tmp_path / "query").warm_up()
    TinyDPRDocumentEmbedder(tmp_path / "passage").warm_up()
    with pytest.raises(ModelNotFoundError, match="passage"):
        TinyDPRTextEmbedder(tmp_path / "passage").warm_up()


def test_warm_up_loads_once(pair_directory: Path, tmp_path: Path, text_embedder: TinyDPRTextEmbedder) -> None:
    (tmp_path / "pair").symlink_to(pair_directory)
    embedder = TinyDPRTextEmbedder(tmp_path / "pair")
    embedder.warm_up()
    (tmp_path / "pair").unlink()
    embedder.warm_up()
    asyncio.run(embedder.warm_up_async())
    assert_same(embedder.run("who")["embedding"], text_embedder.run("who")["embedding"])


def test_threads_that_share_a_cold_embedder_get_the_right_vectors(
    pair_directory: Path, text_embedder: TinyDPRTextEmbedder, questions: dict[str, str]
) -> None:
    cold = TinyDPRTextEmbedder(pair_directory)
    start = threading.Barrier(len(questions))

    def ask(question: str) -> list[float]:
        start.wait()
        return cold.run(question)["embedding"]

    with ThreadPoolExecutor(len(questions)) as threads:
        actual = list(threads.map(ask, questions))
    expected = [text_embedder.run(question)["embedding"] for question in questions]
    assert_same(actual, expected)


def test_copies_of_a_warm_embedder_give_the_same_vectors(
    document_embedder: TinyDPRDocumentEmbedder, documents: list[Document]
) -> None:
    expected = vectors(document_embedder, *documents)
    assert_same(vectors(copy.deepcopy(document_embedder), *documents), expected)
    assert_same(vectors(pickle.loads(pickle.dumps(document_embedder)), *documents), expected)
