"""Pickles and copies: they load again, and hold neither a graph nor a secret."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder, Encoder, ModelNotFoundError

pytestmark = pytest.mark.also_modern

TEXTS = ["the city", "a tower in the river"]


def reloaded(value: Any, how: str) -> Any:
    return copy.deepcopy(value) if how == "copy" else pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_a_copy_gives_the_same_vectors(pair_directory: Path, how: str) -> None:
    pair = DualEncoder.from_pretrained(
        pair_directory, max_query_length=9, max_passage_length=17, pooling="mean", normalize=True
    )
    again = reloaded(pair, how)
    np.testing.assert_array_equal(again.encode_queries(TEXTS), pair.encode_queries(TEXTS))
    np.testing.assert_array_equal(again.encode_passages(TEXTS), pair.encode_passages(TEXTS))
    assert (again.query_encoder.max_length, again.passage_encoder.max_length) == (9, 17)
    assert again.normalize


@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_a_copy_of_one_side_gives_the_same_vectors(pair_directory: Path, how: str) -> None:
    for encoder in (
        Encoder.from_pretrained(pair_directory, side="passage", max_length=5),
        DualEncoder.from_pretrained(pair_directory, max_passage_length=5).passage_encoder,
        Encoder.from_pretrained(pair_directory, side="passage").with_max_length(5),
    ):
        again = reloaded(encoder, how)
        assert again.max_length == 5
        np.testing.assert_array_equal(again.encode(["the tower " * 9]), encoder.encode(["the tower " * 9]))


def test_a_pickle_of_a_folder_is_small_and_follows_it(pair_directory: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pair_directory, tmp_path / "pair")
    pickled = pickle.dumps(DualEncoder.from_pretrained(folder))
    assert len(pickled) < 1000
    shutil.rmtree(folder)
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        pickle.loads(pickled)


def test_a_pickle_of_a_relative_folder_loads_from_elsewhere(
    pair_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pair_directory)
    pair = DualEncoder.from_pretrained(query_model="query_encoder", passage_model="./passage_encoder")
    one = Encoder.from_pretrained(Path("query_encoder"), side="query")
    monkeypatch.chdir(tmp_path)
    for again in (reloaded(pair, "pickle"), reloaded(pair, "copy")):
        np.testing.assert_array_equal(again.encode_passages(TEXTS), pair.encode_passages(TEXTS))
    np.testing.assert_array_equal(reloaded(one, "pickle").encode(TEXTS), pair.encode_queries(TEXTS))


def test_a_pickle_of_an_encoder_made_of_arrays_carries_them(encoder: Encoder) -> None:
    made = Encoder(encoder.config, encoder.weights, encoder.tokenizer, max_length=8, similarity="cosine")
    pair = DualEncoder(made, made)
    again = reloaded(pair, "pickle")
    assert (again.similarity, again.query_encoder.max_length) == ("cosine", 8)
    np.testing.assert_array_equal(again.encode_passages(TEXTS), pair.encode_passages(TEXTS))


def test_a_token_is_in_no_pickle(pair_directory: Path) -> None:
    secret = "hf_0123456789secret"
    pair = DualEncoder.from_pretrained(pair_directory, token=secret)
    one = Encoder.from_pretrained(pair_directory, side="query", token=secret)
    for value in (pair, one, pair.query_encoder, one.with_max_length(8)):
        assert secret.encode() not in pickle.dumps(value)
        assert secret not in repr(vars(value))
