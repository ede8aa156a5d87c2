"""Constructing a retriever: DensePassageRetriever's parameters, stores that do not fit, values that are refused."""

import inspect
import pickle
import pydoc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from haystack import Document
from haystack.document_stores import FAISSDocumentStore
from haystack.nodes import DensePassageRetriever

from dpr_tiny_retriever import ModelNotFoundError
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever

pytestmark = pytest.mark.farm_haystack

#: Parameters that only DensePassageRetriever uses, each with a value other than its default.
WITHOUT_MEANING: dict[str, object] = {
    "use_fast_tokenizers": False,
    "similarity_function": "cosine",
    "global_loss_buffer_size": 300_000,
    "devices": ["cuda:0"],
}

OpenStore = Callable[..., FAISSDocumentStore]


def parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def test_the_constructor_has_the_parameters_of_dense_passage_retriever() -> None:
    ours, theirs = parameters(TinyDPRRetriever), parameters(DensePassageRetriever)
    assert theirs.keys() <= ours.keys()
    assert next(iter(ours)) == next(iter(theirs)) == "document_store"
    for name in ("top_k", "use_gpu", "embed_title", "progress_bar", "scale_score", "use_auth_token", *WITHOUT_MEANING):
        assert ours[name].default == theirs[name].default


@pytest.mark.parametrize(
    "method", ["retrieve", "retrieve_batch", "embed_queries", "embed_documents", "run", "run_batch", "save"]
)
def test_methods_are_called_like_those_of_dense_passage_retriever(method: str) -> None:
    ours = parameters(getattr(TinyDPRRetriever, method))
    theirs = parameters(getattr(DensePassageRetriever, method))
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default


def test_a_model_for_each_side_makes_a_pair(pair_directory: Path, retriever: TinyDPRRetriever) -> None:
    named = TinyDPRRetriever(
        query_embedding_model=pair_directory / "query_encoder",
        passage_embedding_model=str(pair_directory / "passage_encoder"),
        max_seq_len_query=64,
        max_seq_len_passage=256,
        batch_size=16,
        use_gpu=True,
        embed_title=True,
        use_fast_tokenizers=True,
    )
    np.testing.assert_allclose(named.embed_queries(["who"]), retriever.embed_queries(["who"]), atol=1e-5)
    document = Document(content="text", meta={"name": "title"})
    np.testing.assert_allclose(named.embed_documents([document]), retriever.embed_documents([document]), atol=1e-5)


@pytest.mark.parametrize("name", WITHOUT_MEANING)
def test_parameters_without_meaning_here_are_taken_with_a_warning(pair_directory: Path, name: str) -> None:
    default = inspect.signature(DensePassageRetriever).parameters[name].default
    TinyDPRRetriever(model=pair_directory, **{name: default})
    value = WITHOUT_MEANING[name]
    with pytest.warns(UserWarning, match=f"{name} is .*, which changes nothing here: .*; leave it out") as caught:
        taken = TinyDPRRetriever(model=pair_directory, **{name: value})
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    assert name not in taken.get_params()  # nor in YAML


def test_help_lists_the_parameters_and_a_repr_says_what_it_is(pair_directory: Path) -> None:
    text = " ".join(pydoc.plain(pydoc.render_doc(TinyDPRRetriever)).split())
    for name in parameters(TinyDPRRetriever):
        assert f"{name}:" in text or f"{name}," in text, name
    shown = repr(TinyDPRRetriever(model=pair_directory, backend="numpy", exact_dot=True))
    assert shown == (
        f"TinyDPRRetriever(DualEncoder('{pair_directory}', embedding_dim=129, exact_dot=True, similarity='dot', "
        "backend='numpy'), mode='dense')"
    )


def test_a_missing_side_or_a_model_named_twice_is_refused(pair_directory: Path) -> None:
    with pytest.raises(ValueError, match=r"found model=None.*expected model alone"):
        TinyDPRRetriever(query_embedding_model=pair_directory)
    with pytest.raises(ValueError, match="or the other two by name"):
        TinyDPRRetriever(passage_embedding_model=pair_directory)
    with pytest.raises(ValueError, match="the second argument by position"):
        TinyDPRRetriever(None, pair_directory / "query_encoder", pair_directory / "passage_encoder")


def test_a_missing_model_is_an_error_in_the_constructor(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        TinyDPRRetriever(model=tmp_path / "nowhere")


def test_a_store_of_another_dimension_is_refused_before_anything_is_encoded(
    open_store: OpenStore, pair_directory: Path, retriever: TinyDPRRetriever
) -> None:
    wide = open_store(embedding_dim=768)
    message = r"embedding_dim 768, but .* 128 numbers; .*FAISSDocumentStore\(embedding_dim=128\)"
    with pytest.raises(ValueError, match=message):
        TinyDPRRetriever(wide, pair_directory)
    with pytest.raises(ValueError, match=message):
        retriever.retrieve("who", document_store=wide)
    with pytest.raises(ValueError, match=message):
        retriever.retrieve_batch(["who"], document_store=wide)


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_a_store_with_another_similarity_is_refused(
    open_store: OpenStore, pair_directory: Path, retriever: TinyDPRRetriever, similarity: str
) -> None:
    store = open_store(embedding_dim=128, similarity=similarity)
    message = (
        f"similarity '{similarity}'.*expected 'dot_product'.*similarity='dot_product'.*; or keep .* exact_dot=True, "
        "which ranks as the dot product does, in a store of embedding_dim=129; or with normalize=True"
    )
    with pytest.raises(ValueError, match=message):
        TinyDPRRetriever(store, pair_directory)
    with pytest.raises(ValueError, match=message):
        retriever.retrieve("who", document_store=store)


@pytest.mark.parametrize("similarity", ["dot_product", "cosine", "l2"])
def test_unit_length_vectors_fit_every_similarity(open_store: OpenStore, pair_directory: Path, similarity: str) -> None:
    store = open_store(embedding_dim=128, similarity=similarity)
    assert TinyDPRRetriever(store, pair_directory, normalize=True).document_store is store


def test_searching_without_a_store_says_what_to_pass(retriever: TinyDPRRetriever) -> None:
    with pytest.raises(ValueError, match="no document store to search; pass document_store="):
        retriever.retrieve("who")
    with pytest.raises(ValueError, match="no document store to search; pass document_store="):
        retriever.retrieve_batch(["who"])


@pytest.mark.parametrize("name", ["top_k", "batch_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_counts_below_one_are_refused(
    open_store: OpenStore, pair_directory: Path, retriever: TinyDPRRetriever, name: str, value: int
) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; expected 1 or more"):
        TinyDPRRetriever(model=pair_directory, **{name: value})
    store = open_store(embedding_dim=128)
    with pytest.raises(ValueError, match=f"{name} is {value}; expected 1 or more"):
        retriever.retrieve_batch(["who"], document_store=store, **{name: value})


@pytest.mark.parametrize("value", ["10", 2.5, True])
def test_counts_that_are_not_int_are_refused(
    open_store: OpenStore, pair_directory: Path, retriever: TinyDPRRetriever, value: object
) -> None:
    with pytest.raises(TypeError, match=r"top_k is .*; expected int"):
        TinyDPRRetriever(model=pair_directory, top_k=value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"top_k is .*; expected int"):
        retriever.retrieve("who", top_k=value, document_store=open_store(embedding_dim=128))  # type: ignore[arg-type]


@pytest.mark.parametrize("title_field", [None, 5, ["name"]])
def test_a_title_field_that_is_not_a_str_is_refused(pair_directory: Path, title_field: object) -> None:
    with pytest.raises(TypeError, match=r"title_field is .*; expected str, or embed_title=False"):
        TinyDPRRetriever(model=pair_directory, title_field=title_field)  # type: ignore[arg-type]


def test_a_pickled_retriever_gives_the_same_vectors(retriever: TinyDPRRetriever) -> None:
    copied = pickle.loads(pickle.dumps(retriever))
    np.testing.assert_allclose(copied.embed_queries(["who"]), retriever.embed_queries(["who"]), atol=1e-5)


def test_a_saved_pair_keeps_its_settings(
    tmp_path: Path, open_store: OpenStore, pair_directory: Path, documents: list[Document]
) -> None:
    retriever = TinyDPRRetriever(model=pair_directory, max_seq_len_passage=12, pooling="mean", normalize=True)
    retriever.save(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "passage_encoder",
        "query_encoder",
    ]
    store = open_store(embedding_dim=128, similarity="cosine")
    loaded = TinyDPRRetriever.load(tmp_path / "saved", store, top_k=3, embed_title=True)
    assert (loaded.document_store, loaded.top_k) == (store, 3)
    np.testing.assert_allclose(loaded.embed_documents(documents), retriever.embed_documents(documents), atol=1e-5)
    np.testing.assert_allclose(loaded.embed_queries(["who wrote"]), retriever.embed_queries(["who wrote"]), atol=1e-5)


def test_a_pair_may_be_saved_under_other_names(
    tmp_path: Path, retriever: TinyDPRRetriever, documents: list[Document]
) -> None:
    retriever.save(str(tmp_path / "saved"), query_encoder_dir="question", passage_encoder_dir="context")
    loaded = TinyDPRRetriever.load(str(tmp_path / "saved"), query_encoder_dir="question", passage_encoder_dir="context")
    np.testing.assert_allclose(loaded.embed_documents(documents), retriever.embed_documents(documents), atol=1e-5)
    with pytest.raises(ModelNotFoundError, match="query_encoder"):
        TinyDPRRetriever.load(tmp_path / "saved")
