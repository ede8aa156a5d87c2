"""Two encoders make a pair only where their vectors can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_folders import bert_record, write_model

from dpr_tiny_retriever import DualEncoder, Encoder, ModelNotFoundError
from dpr_tiny_retriever.checkpoints.bundled_pairs import released_name
from dpr_tiny_retriever.load_options import LoadOptions


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A model of each width."""
    folder = tmp_path_factory.mktemp("models")
    return {width: write_model(folder / str(width), bert_record(width=width)) for width in (16, 32)}


def test_vectors_of_two_dimensions_are_no_pair(models: dict[int, Path]) -> None:
    with pytest.raises(ValueError, match="no pair: the query model has vectors of dimension 16, the passage model 32"):
        DualEncoder.from_pretrained(query_model=models[16], passage_model=models[32])


@pytest.mark.parametrize(
    ("query", "passage", "message"),
    [
        (
            {"similarity": "dot"},
            {"similarity": "cosine"},
            "the query model has similarity dot, the passage model cosine",
        ),
        ({"normalize": True}, {"normalize": False}, "the query model has normalize True, the passage model False"),
    ],
)
def test_vectors_that_are_compared_in_two_ways_are_no_pair(
    models: dict[int, Path], query: dict[str, Any], passage: dict[str, Any], message: str
) -> None:
    def encoder(similarity: Any = "dot", normalize: bool = False) -> Encoder:
        loaded = Encoder.from_pretrained(models[16], side="query", normalize=normalize)
        return Encoder(loaded.config, loaded.weights, loaded.tokenizer, max_length=16, similarity=similarity)

    with pytest.raises(ValueError, match=message):
        DualEncoder(encoder(**query), encoder(**passage))


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({"query_model": "q"}, "query_model"),
        ({"passage_model": "p"}, "passage_model"),
        ({"model": "m", "query_model": "q"}, "model and query_model"),
        ({"model": "m", "query_model": "q", "passage_model": "p"}, "model and query_model and passage_model"),
    ],
)
def test_a_pair_is_named_by_one_name_or_by_two(named: dict[str, str], found: str) -> None:
    message = f"found {found}; expected model alone, or query_model and passage_model together"
    with pytest.raises(ValueError, match=message):
        DualEncoder.from_pretrained(**named)  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", ["max", "", 3, ["cls"]])
def test_another_pooling_is_refused(models: dict[int, Path], pooling: Any) -> None:
    with pytest.raises(ValueError, match=r"pooling is .*; expected 'pooler', 'cls', 'mean' or None"):
        DualEncoder.from_pretrained(models[16], pooling=pooling)


def test_a_pair_whose_one_side_is_missing_is_refused(models: dict[int, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        DualEncoder.from_pretrained(query_model=models[16], passage_model=tmp_path / "nothing")


def test_the_settings_of_a_pair_load_it_again_and_hold_no_token(small_directory: Path) -> None:
    pair = DualEncoder.from_pretrained(small_directory, max_query_length=20, exact_dot=True, token="hf_secret")
    settings = pair.settings()
    assert json.loads(json.dumps(settings)) == {
        "model": str(small_directory),
        "max_query_length": 20,
        "exact_dot": True,
        "fingerprint": pair.fingerprint(),
    }
    assert DualEncoder.from_pretrained(**settings).settings() == settings
    assert DualEncoder.from_pretrained().settings()["model"] == released_name(None)
    with pytest.raises(ValueError, match="made of arrays"):
        DualEncoder(pair.query_encoder, pair.passage_encoder).settings()


def test_vectors_of_unit_length_or_with_exact_dot_rank_alike(small_directory: Path) -> None:
    options: list[LoadOptions] = [{}, {"normalize": True}, {"exact_dot": True}]
    pairs = [DualEncoder.from_pretrained(small_directory, **chosen) for chosen in options]
    assert [pair.ranks_alike for pair in pairs] == [False, True, True]
