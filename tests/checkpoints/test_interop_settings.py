"""Settings of a sentence-transformers folder give the vectors that sentence-transformers gives with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import write_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as models

from dpr_tiny_retriever import CheckpointError, DualEncoder

pytestmark = pytest.mark.interop

TEXTS = [
    "how are Ships kept off the Rocks",
    "Übergröße, naïveté; ΑΣ İ K 日本",
    "the [MASK] City",
    "the city " * 200,
    "",
]


@pytest.fixture
def folder(pair_directory: Path, tmp_path: Path) -> Path:
    """The query side of the pair as sentence-transformers saves it, with mean pooling."""
    transformer = models.Transformer(str(pair_directory / "query_encoder"), max_seq_length=48)
    theirs = SentenceTransformer(modules=[transformer, models.Pooling(128, pooling_mode="mean")], device="cpu")
    theirs.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def change(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def compare(folder: Path) -> DualEncoder:
    """Assert that both sides give their vectors, and return the pair."""
    pair = DualEncoder.from_pretrained(folder)
    theirs = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(pair.encode_queries(TEXTS), theirs.encode_query(TEXTS), rtol=0, atol=1e-5)
    np.testing.assert_allclose(pair.encode_passages(TEXTS), theirs.encode_document(TEXTS), rtol=0, atol=1e-5)
    return pair


@pytest.mark.parametrize(
    "prompts", [{"query": "who: ", "document": "text: "}, {"query": "Represent the city: "}, {"document": "t: "}, {}]
)
def test_prompts_of_either_side(folder: Path, tmp_path: Path, prompts: dict[str, str]) -> None:
    change(folder, "config_sentence_transformers.json", prompts=prompts)
    pair = compare(folder)
    pair.save_pretrained(tmp_path / "saved")
    for side, vectors in (("query", pair.encode_queries(TEXTS)), ("passage", pair.encode_passages(TEXTS))):
        saved = SentenceTransformer(str(tmp_path / "saved" / f"{side}_encoder"), device="cpu")
        for encode in (saved.encode, saved.encode_query, saved.encode_document):
            np.testing.assert_allclose(encode(TEXTS), vectors, rtol=0, atol=1e-5)


def test_a_default_prompt_is_that_of_their_encode(folder: Path) -> None:
    change(folder, "config_sentence_transformers.json", prompts={"any": "text: "}, default_prompt_name="any")
    pair = DualEncoder.from_pretrained(folder)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(pair.encode_queries(TEXTS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(pair.encode_passages(TEXTS), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 64, 128, 500])
def test_truncated_vectors(folder: Path, size: int) -> None:
    change(folder, "config_sentence_transformers.json", truncate_dim=size)
    assert compare(folder).embedding_dim == min(size, 128)


def test_a_pooling_that_leaves_out_the_prompt_is_refused_only_where_it_matters(folder: Path) -> None:
    change(folder, "1_Pooling/config.json", include_prompt=False)
    compare(folder)
    change(folder, "config_sentence_transformers.json", prompts={"query": "who: "})
    with pytest.raises(CheckpointError, match="include_prompt is false"):
        DualEncoder.from_pretrained(folder)


@pytest.mark.parametrize("module_lowercases", [False, True])
@pytest.mark.parametrize("stored", [{"lowercase": False, "strip_accents": False}, {}])
@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizerFast"},
        {"do_lower_case": True, "tokenizer_class": "PreTrainedTokenizerFast"},
    ],
)
def test_casing_and_accents(
    folder: Path, settings: dict[str, Any], stored: dict[str, bool], module_lowercases: bool
) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"] |= stored
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    change(folder, "tokenizer_config.json", **settings)
    change(folder, "sentence_bert_config.json", do_lower_case=module_lowercases)
    compare(folder)


def test_a_router_of_two_encoders(pair_directory: Path, tmp_path: Path) -> None:
    routes = {
        route: [
            models.Transformer(str(pair_directory / f"{side}_encoder"), max_seq_length=length),
            models.Pooling(128, pooling_mode=pooling),
        ]
        for route, side, length, pooling in (("query", "query", 20, "cls"), ("document", "passage", 40, "mean"))
    }
    router = models.Router(routes)
    SentenceTransformer(modules=[router, models.Normalize()], device="cpu").save_pretrained(str(tmp_path / "router"))
    pair = compare(tmp_path / "router")
    assert (pair.query_encoder.max_length, pair.passage_encoder.max_length) == (20, 40)
    assert pair.normalize


def test_a_pair_saved_as_a_router_is_one_model_for_them(folder: Path, tmp_path: Path) -> None:
    """With a projection, unit length, and prompts and lengths that differ by side."""
    change(folder, "config_sentence_transformers.json", truncate_dim=32, prompts={"query": "who: "})
    pair = DualEncoder.from_pretrained(folder, normalize=True, max_query_length=24, max_passage_length=40)
    pair.save_pretrained(tmp_path / "router", router=True)
    again = compare(tmp_path / "router")
    np.testing.assert_array_equal(again.encode_queries(TEXTS), pair.encode_queries(TEXTS))
    np.testing.assert_array_equal(again.encode_passages(TEXTS), pair.encode_passages(TEXTS))


def test_the_default_route_of_a_router_is_that_of_their_encode(pair_directory: Path, tmp_path: Path) -> None:
    modules = [models.Transformer(str(pair_directory / "query_encoder")), models.Pooling(128, pooling_mode="mean")]
    theirs = SentenceTransformer(modules=[models.Router({"only": modules}, default_route="only")], device="cpu")
    theirs.save_pretrained(str(tmp_path / "router"))
    pair = DualEncoder.from_pretrained(tmp_path / "router")
    np.testing.assert_allclose(pair.encode_queries(TEXTS), theirs.encode(TEXTS), rtol=0, atol=1e-5)
    np.testing.assert_allclose(pair.encode_passages(TEXTS), theirs.encode(TEXTS), rtol=0, atol=1e-5)


def test_weights_in_shards(tmp_path: Path) -> None:
    from transformers import AutoModel

    folder = write_model(tmp_path / "model")
    expected = DualEncoder.from_pretrained(folder).encode_passages(TEXTS)
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).rename(tmp_path / "shards" / name)
    np.testing.assert_array_equal(DualEncoder.from_pretrained(tmp_path / "shards").encode_passages(TEXTS), expected)
