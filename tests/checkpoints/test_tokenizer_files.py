"""tokenizer.json, vocab.txt and the settings beside them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from model_folders import VOCABULARY, write_json, write_tokenizer
from tokenizer_reference import ours, reference
from tokenizers import Tokenizer
from tokenizers.normalizers import NFD

from dpr_tiny_retriever import CheckpointError, Encoder
from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer, save_tokenizer
from dpr_tiny_retriever.errors import MissingExtraError

pytestmark = pytest.mark.also_lowest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.mark.parametrize("text", ["The CITY, naïve!", "日本 x.y 🗼", "[MASK] of the [SEP]"])
@pytest.mark.parametrize("kind", ["BertTokenizer", "BertTokenizerFast", "DPRContextEncoderTokenizer", None])
def test_vocab_txt_without_tokenizer_json_makes_the_same_tokenizer(
    folder: Path, tmp_path: Path, text: str, kind: str | None
) -> None:
    shutil.copy(folder / "vocab.txt", tmp_path)
    if kind:
        write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": kind, "do_lower_case": True})
    assert ours(load_tokenizer(tmp_path), "", text, 64) == reference(folder, "", text, 64)


def test_vocab_txt_keeps_the_case_where_the_settings_say_so(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "vocab.txt", tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": False})
    cased, uncased = (ours(load_tokenizer(where), "", "City", 64)[0][1:-1] for where in (tmp_path, folder))
    assert cased == [VOCABULARY.index("[UNK]")]
    assert uncased == [VOCABULARY.index("city")]


@pytest.mark.parametrize("text_segment", [0, 1])
def test_what_is_saved_gives_the_same_ids_and_segments_by_its_own_rules(
    folder: Path, tmp_path: Path, text_segment: int
) -> None:
    original = load_tokenizer(folder, text_segment=text_segment)
    save_tokenizer(original, tmp_path, 64)
    for title, text in (("", "the city"), ("the tower", "of the river, naïve"), ("x.y", "")):
        assert reference(tmp_path, title, text, 64) == ours(original, title, text, 64)
        assert ours(load_tokenizer(tmp_path, text_segment), title, text, 64) == ours(original, title, text, 64)


def test_what_is_saved_also_loads_from_its_vocab_txt(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder)
    save_tokenizer(tokenizer, tmp_path, 64)
    (tmp_path / "tokenizer.json").unlink()
    text = "The City, naïve [MASK]"
    assert ours(load_tokenizer(tmp_path), "x.y", text, 64) == ours(tokenizer, "x.y", text, 64)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"version": "1.0"}', '{"model": null}', "\0" * 100])
def test_a_corrupt_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"the tokenizer cannot be read \(.+\); expected tokenizer.json"):
        load_tokenizer(tmp_path)


def test_a_truncated_tokenizer_is_named(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(whole[: len(whole) // 2], encoding="utf-8")
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read"):
        load_tokenizer(tmp_path)


def test_a_vocabulary_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read"):
        load_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    with pytest.raises(CheckpointError, match=r"has no tokenizer; expected tokenizer.json or BERT's vocab.txt"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_berts_special_tokens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\nthe\ncity\n")
    with pytest.raises(CheckpointError, match=r"no token \[CLS\] and no token \[SEP\]; expected a BERT tokenizer"):
        load_tokenizer(tmp_path)


def test_special_tokens_may_have_other_names(tmp_path: Path) -> None:
    vocabulary = ["<pad>", "[UNK]", "<s>", "</s>", "city"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    write_json(
        tmp_path / "tokenizer_config.json", {"cls_token": "<s>", "sep_token": {"content": "</s>", "lstrip": False}}
    )
    assert ours(load_tokenizer(tmp_path), "", "city", 8)[0] == [2, 4, 3]


def test_a_saved_vocabulary_has_a_line_for_every_id(tmp_path: Path) -> None:
    """Also for ids without a token, or every later line would stand for another id."""
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n\n[unused4]\n\ncity\n")
    original = load_tokenizer(tmp_path)
    save_tokenizer(original, tmp_path, 64)
    saved = (tmp_path / "vocab.txt").read_text().splitlines()
    assert saved == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[[unused4]]", "[unused4]", "[unused6]", "city"]
    (tmp_path / "tokenizer.json").unlink()
    assert ours(load_tokenizer(tmp_path), "", "city", 8) == ours(original, "", "city", 8) == ([2, 7, 3], [0, 0, 0])


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n", " \n \n"])
def test_empty_lines_at_the_end_of_a_vocabulary_are_no_tokens(tmp_path: Path, end: str) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\ncity" + end, newline="")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.vocab_size == 5
    assert ours(tokenizer, "", "city", 8)[0] == [2, 4, 3]


def test_a_vocabulary_without_its_unknown_token_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[CLS]\n[SEP]\ncity\n")
    with pytest.raises(CheckpointError, match=r"has no unknown token \[UNK\], .*; expected the vocabulary that"):
        load_tokenizer(tmp_path)
    record = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    record["model"]["unk_token"] = "<unk>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"has no unknown token <unk>"):
        load_tokenizer(tmp_path)


def rewrite(folder: Path, target: Path, settings: dict[str, Any], **normalizer: Any) -> Path:
    """The tokenizer of a folder with other settings, and other rules in tokenizer.json."""
    record = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    record["normalizer"] |= normalizer
    (target / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    write_json(target / "tokenizer_config.json", settings)
    return target


@pytest.mark.parametrize(
    ("settings", "stored", "words"),
    [
        ({"do_lower_case": False}, True, ["[UNK]", "[UNK]"]),
        ({"do_lower_case": True}, False, ["city", "a"]),
        ({"do_lower_case": True, "strip_accents": False}, True, ["city", "ä"]),
        ({}, False, ["city", "a"]),
        ({"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}, True, ["[UNK]", "[UNK]"]),
        ({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False}, True, ["city", "a"]),
        ({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}, False, ["[UNK]", "[UNK]"]),
    ],
)
def test_the_settings_of_a_bert_tokenizer_outweigh_its_tokenizer_json(
    folder: Path, tmp_path: Path, settings: dict[str, Any], stored: bool, words: list[str]
) -> None:
    """As in transformers 4 and 5; every other class is what tokenizer.json says."""
    tokenizer = load_tokenizer(rewrite(folder, tmp_path, settings, lowercase=stored))
    ids = ours(tokenizer, "", "City Ä", 8)[0][1:-1]
    assert [VOCABULARY[id_] for id_ in ids] == words
    save_tokenizer(tokenizer, tmp_path / "..", 64)
    assert ours(load_tokenizer(tmp_path / ".."), "", "City Ä", 8)[0][1:-1] == ids


def test_lower_casing_is_added_to_rules_of_another_kind(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = NFD()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert ours(load_tokenizer(tmp_path), "", "CITY", 8)[0][1:-1] == [VOCABULARY.index("[UNK]")]
    lower = load_tokenizer(tmp_path, lowercase=True)
    assert ours(lower, "", "CITY", 8)[0][1:-1] == [VOCABULARY.index("city")]
    save_tokenizer(lower, tmp_path, 64)
    assert ours(load_tokenizer(tmp_path), "", "CITY", 8) == ours(lower, "", "CITY", 8)


def test_a_prompt_is_put_in_front_of_the_title_or_else_the_text(folder: Path) -> None:
    plain = load_tokenizer(folder)
    prompted = plain.with_prompt("query: ")
    for title, text in (("the city", "a river"), ("", "a river"), ("  ", "a river"), ("the city", ""), ("", "")):
        expected = ("query: " + title, text) if title.strip() else ("", "query: " + text)
        assert ours(prompted, title, text, 16) == ours(plain, *expected, 16)
        assert ours(prompted, title, text, 4) == ours(plain, *expected, 4)
    assert (plain.prompt, prompted.prompt) == ("", "query: ")


def test_an_exotic_tokenizer_without_transformers_names_the_extra_before_anything_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # which is how Python marks what cannot be imported
    shutil.copy(folder / "vocab.txt", tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "ElectraTokenizer"})
    with pytest.raises(
        MissingExtraError,
        match=r"a ElectraTokenizer without tokenizer.json .*pip install \"dpr-tiny-retriever\[transformers\]\"",
    ):
        Encoder.from_pretrained(tmp_path, side="query")


@pytest.mark.parametrize("token", ["\ud800", {"lstrip": False}, {"content": "\ud800"}])
def test_a_special_token_that_is_no_text_is_refused(folder: Path, tmp_path: Path, token: object) -> None:
    shutil.copy(folder / "tokenizer.json", tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"sep_token": token})
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read"):
        load_tokenizer(tmp_path)
