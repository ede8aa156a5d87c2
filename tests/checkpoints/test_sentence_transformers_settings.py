"""Settings of a sentence-transformers folder that change vectors: honoured, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import VOCABULARY, write_json
from sentence_transformers_folder import EARLY_FLAGS, IDENTITY, TEXTS, load, write_dense, write_modules

from dpr_tiny_retriever import CheckpointError, DualEncoder

QUERY, PASSAGE = "who wrote: ", "title text: "


def write_settings(folder: Path, **settings: Any) -> Path:
    """A folder of which config_sentence_transformers.json has these settings."""
    write_modules(folder, "Transformer", "Pooling")
    write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def prompts_of(folder: Path) -> tuple[str, str]:
    pair = DualEncoder.from_pretrained(folder)
    return pair.query_encoder.tokenizer.prompt, pair.passage_encoder.tokenizer.prompt


def test_each_side_has_its_own_prompt_before_its_texts(tmp_path: Path) -> None:
    plain = DualEncoder.from_pretrained(write_modules(tmp_path / "plain", "Transformer", "Pooling"))
    folder = write_settings(tmp_path / "prompts", prompts={"query": QUERY, "document": PASSAGE})
    prompted = DualEncoder.from_pretrained(folder)
    queries, passages = ["the river", "", "the city " * 99], [("tower", "the city"), ("", "river"), ("", "")]
    np.testing.assert_array_equal(
        prompted.encode_queries(queries), plain.encode_queries([QUERY + query for query in queries])
    )
    expected = [(PASSAGE + title, text) if title else ("", PASSAGE + text) for title, text in passages]
    np.testing.assert_array_equal(prompted.encode_passages(passages), plain.encode_passages(expected))
    assert prompted.query_encoder.weights is prompted.passage_encoder.weights
    assert prompted.query_encoder.fingerprint() != plain.query_encoder.fingerprint()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"prompts": {"query": "q: ", "document": "d: "}}, ("q: ", "d: ")),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, ("q: ", "p: ")),
        ({"prompts": {"corpus": "c: ", "passage": "p: "}}, ("", "p: ")),
        ({"prompts": {"corpus": "c: "}}, ("", "c: ")),
        ({"prompts": {"query": "q: ", "document": ""}}, ("q: ", "")),
        ({"prompts": {"query": None, "document": None, "passage": "p: "}}, ("", "p: ")),
        ({"prompts": {}, "default_prompt_name": None}, ("", "")),
        ({"prompts": {"any": "a: "}}, ("", "")),
        ({"prompts": {"any": "a: "}, "default_prompt_name": "any"}, ("a: ", "a: ")),
        ({"prompts": {"any": "a: ", "query": "q: "}, "default_prompt_name": "any"}, ("q: ", "a: ")),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, ("q: ", "")),
        ({"prompts": {"passage": "p: "}, "default_prompt_name": "passage"}, ("", "p: ")),
    ],
)
def test_prompts_are_found_by_the_names_of_the_side_or_by_default(
    tmp_path: Path, settings: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert prompts_of(write_settings(tmp_path, **settings)) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": ["query: "]}, r"prompts is \['query: '\]; expected a text for each name"),
        ({"prompts": {"query": 3}}, r"prompts is {'query': 3}; expected a text for each name"),
        ({"default_prompt_name": "s"}, r"default_prompt_name is 's'; expected one of the prompts \(none\)"),
        ({"truncate_dim": 0}, "truncate_dim is 0; expected a number of dimensions"),
        ({"truncate_dim": "8"}, "truncate_dim is '8'; expected a number of dimensions"),
        ({"truncate_dim": True}, "truncate_dim is True; expected a number of dimensions"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=f"config_sentence_transformers.json: {message}"):
        load(write_settings(tmp_path, **settings))


def test_a_saved_side_keeps_its_prompt_whoever_loads_it(tmp_path: Path) -> None:
    pair = DualEncoder.from_pretrained(write_settings(tmp_path / "st", prompts={"query": QUERY, "document": PASSAGE}))
    pair.save_pretrained(tmp_path / "saved")
    again = DualEncoder.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_queries(["the city"]), pair.encode_queries(["the city"]))
    np.testing.assert_array_equal(again.encode_passages(TEXTS), pair.encode_passages(TEXTS))
    assert prompts_of(tmp_path / "saved" / "query_encoder") == (QUERY, QUERY)
    assert prompts_of(tmp_path / "saved" / "passage_encoder") == (PASSAGE, PASSAGE)


def test_a_pooling_without_the_prompt_is_refused_where_there_is_one(tmp_path: Path) -> None:
    write_settings(tmp_path, prompts={"query": QUERY})
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": "mean", "include_prompt": False})
    with pytest.raises(CheckpointError, match=r"include_prompt is false with the prompt 'who wrote: '.*pooling='mean'"):
        DualEncoder.from_pretrained(tmp_path)
    assert load(tmp_path).tokenizer.prompt == ""  # passages have none
    assert DualEncoder.from_pretrained(tmp_path, pooling="mean").query_encoder.tokenizer.prompt == QUERY


@pytest.mark.parametrize("projection", [False, True])
def test_vectors_are_truncated_as_the_folder_says(tmp_path: Path, projection: bool) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", *(["Dense"] if projection else []))
    if projection:
        write_dense(tmp_path / "2_Dense", IDENTITY, width=12)
    whole = load(tmp_path).encode(TEXTS)
    write_json(tmp_path / "config_sentence_transformers.json", {"truncate_dim": 5})
    encoder = load(tmp_path)
    assert encoder.embedding_dim == 5
    np.testing.assert_allclose(encoder.encode(TEXTS), whole[:, :5], rtol=0, atol=1e-6)
    encoder.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(load(tmp_path / "saved").encode(TEXTS), encoder.encode(TEXTS))
    write_json(tmp_path / "config_sentence_transformers.json", {"truncate_dim": 500})
    np.testing.assert_array_equal(load(tmp_path).encode(TEXTS), whole)


def test_truncation_after_normalization_asks_which_length_is_meant(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling", "Normalize")
    write_json(tmp_path / "config_sentence_transformers.json", {"truncate_dim": 5})
    with pytest.raises(CheckpointError, match=r"truncate_dim is 5 after a Normalize .* normalize=True, .* normalize=F"):
        load(tmp_path)
    raw = load(tmp_path, normalize=False).encode(TEXTS)
    unit = load(tmp_path, normalize=True).encode(TEXTS)
    assert raw.shape == unit.shape == (2, 5)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)


def test_texts_are_lower_cased_where_the_transformer_module_says_so(tmp_path: Path) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": False})
    write_json(tmp_path / "sentence_bert_config.json", {"do_lower_case": False})
    cased = load(tmp_path)
    write_json(tmp_path / "sentence_bert_config.json", {"do_lower_case": True})
    lower = load(tmp_path)
    np.testing.assert_array_equal(lower.encode(["The CITY"]), cased.encode(["the city"]))
    assert not np.allclose(cased.encode(["The CITY"]), cased.encode(["the city"]), atol=1e-3)
    accent = lower.tokenizer.tokenize([("", "Ä")], 8).ids.tolist()[1:-1]
    assert accent == [VOCABULARY.index("ä")]  # lower case alone: accents stay
    lower.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(load(tmp_path / "saved").encode(["The CITÄ"]), lower.encode(["The CITÄ"]))


def test_the_transformer_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = write_modules(tmp_path / "st", "Transformer", "Pooling")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40})
    expected = load(folder).encode(TEXTS)
    own = folder / "0_Transformer"
    own.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        shutil.move(path, own / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(folder / "modules.json", modules)
    encoder = load(folder)
    np.testing.assert_array_equal(encoder.encode(TEXTS), expected)
    assert encoder.max_length == 40


@pytest.mark.parametrize("length", [True, 0, -1, 1, 2, 3.5, "long"])
def test_a_length_that_is_no_number_of_tokens_is_refused(tmp_path: Path, length: object) -> None:
    write_modules(tmp_path, "Transformer", "Pooling")
    write_json(tmp_path / "sentence_bert_config.json", {"max_seq_length": length})
    with pytest.raises(CheckpointError, match=rf"max_seq_length is {length!r}; expected a number of tokens"):
        load(tmp_path)


@pytest.mark.posix
@pytest.mark.parametrize("path", ["../private", "1_Pooling/../../private", "{absolute}", "link", "\0"])
def test_a_module_outside_of_the_folder_is_not_read(tmp_path: Path, path: str) -> None:
    folder = write_modules(tmp_path / "model", "Transformer", "Pooling")
    private = tmp_path / "private"
    private.mkdir()
    write_json(private / "config.json", EARLY_FLAGS | {"pooling_mode": "a secret"})
    (folder / "link").symlink_to(private)
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path.format(absolute=private)
    write_json(folder / "modules.json", modules)
    with pytest.raises(CheckpointError, match=r"modules.json: found the path .*; expected one inside") as caught:
        load(folder)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["x" * 5000, "no folder", "modules.json"])
def test_a_module_that_cannot_be_read_is_refused(tmp_path: Path, path: str) -> None:
    folder = write_modules(tmp_path, "Transformer", "Pooling")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    write_json(folder / "modules.json", modules)
    with pytest.raises(CheckpointError, match=r"config.json (is missing|cannot be read \(.+\)); expected"):
        load(folder)
