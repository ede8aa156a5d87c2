"""Rules of a tokenizer.json: those of published tokenizers are honoured, those that fill any memory are refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from model_folders import write_tokenizer
from tokenizers import Regex, Tokenizer
from tokenizers import normalizers as norm
from tokenizers import pre_tokenizers as pre

from dpr_tiny_retriever import CheckpointError, Encoder
from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer

pytestmark = pytest.mark.also_lowest


def folder_with(folder: Path, normalizer: Any = None, pre_tokenizer: Any = None) -> Path:
    """A tokenizer.json with these rules in the place of BERT's, tokenizers' own objects or records as of its JSON."""
    write_tokenizer(folder)
    path = folder / "tokenizer.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for name, rule in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer)):
        if rule is not None:
            record[name] = rule if isinstance(rule, dict) else json.loads(rule.__getstate__())
    path.write_text(json.dumps(record), encoding="utf-8")
    return folder


def charsmap(longest: int) -> str:
    """Rules of SentencePiece with a replacement of this many bytes, and a trie of zeros, which leads to none."""
    return base64.b64encode((4096).to_bytes(4, "little") + bytes(4096) + b"a\0" + b"x" * longest + b"\0").decode()


PUBLISHED = {
    "ALBERT": norm.Sequence(
        [
            norm.Replace("``", '"'),
            norm.Replace("''", '"'),
            norm.NFKD(),
            norm.StripAccents(),
            norm.Lowercase(),
            norm.Replace(Regex(" {2,}"), " "),
        ]
    ),
    "CLIP": norm.Sequence([norm.NFC(), norm.Replace(Regex(r"\s+"), " "), norm.Lowercase()]),
    "DeBERTa": norm.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
    "Llama": norm.Sequence([norm.Prepend("▁"), norm.Replace(" ", "▁")]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_normalizers_of_published_tokenizers_are_honoured(tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, PUBLISHED[name])
    text = "The  ``City'' of\tnaïve  rivers"
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    assert load_tokenizer(folder).tokenize([("", text)], 64).ids.tolist() == ids


@pytest.mark.parametrize(
    "rule",
    [
        pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()]),
        pre.ByteLevel(),
        pre.Sequence([pre.Punctuation(), pre.Digits(individual_digits=True), pre.Whitespace()]),
        pre.Split(Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""), "isolated"),
    ],
)
def test_pre_tokenizers_of_published_tokenizers_are_honoured(tmp_path: Path, rule: Any) -> None:
    folder = folder_with(tmp_path, pre_tokenizer=rule)
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("the city's 12 rivers").ids
    assert load_tokenizer(folder).tokenize([("", "the city's 12 rivers")], 64).ids.tolist() == ids


def test_the_rules_of_minilm_and_of_the_bundled_pair_are_honoured(minilm_directory: Path) -> None:
    assert Encoder.from_pretrained(minilm_directory, side="query").encode(["the city"]).shape == (1, 384)
    assert Encoder.from_pretrained(side="query").encode(["the city"]).shape == (1, 128)


@pytest.mark.parametrize(
    ("normalizer", "problem"),
    [
        (norm.Sequence([norm.Replace("a", "aa")] * 30), "a replacement of 'a' by a longer text"),
        (norm.Replace(Regex(r"\s+"), "ab"), r"a replacement of '\\s+' by a longer text"),
        (norm.Replace("", "a"), "a replacement of '' by a longer text"),
        (norm.Sequence([norm.Sequence([norm.Prepend("x" * 9)] * 2), norm.Prepend("y")]), "Prepend 3 times"),
        (norm.Prepend("x" * 10**6), "a Prepend of 1000000 characters"),
        (norm.Sequence([norm.Replace("a", "b")] * 33), "33 steps"),
        (norm.Replace(Regex("(a+)+$"), ""), "the regular expression '(a+)+$', of which more than the end of an"),
        (norm.Replace(Regex("a*"), ""), "the regular expression 'a*'"),
        (norm.Replace(Regex("a+b+c"), ""), "the regular expression 'a+b+c'"),
        ({"type": "Precompiled", "precompiled_charsmap": charsmap(65)}, "one character by more than 64 bytes"),
    ],
)
def test_normalizers_that_can_fill_any_memory_are_refused(tmp_path: Path, normalizer: Any, problem: str) -> None:
    folder = folder_with(tmp_path, normalizer)
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(folder)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"{folder}: its normalizer has ")
    assert str(caught.value).endswith("; expected BERT's, or at most 32 steps that cannot make a text much longer")


def test_rules_of_sentencepiece_are_honoured(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"type": "Precompiled", "precompiled_charsmap": charsmap(33)})
    assert load_tokenizer(folder).count(["the city"]) == [2]


def test_rules_that_the_library_fails_on_are_an_error_of_the_checkpoint(tmp_path: Path) -> None:
    charsmap = base64.b64encode(bytes(4)).decode()  # without a trie: the library panics at the first text
    tokenizer = load_tokenizer(folder_with(tmp_path, {"type": "Precompiled", "precompiled_charsmap": charsmap}))
    with pytest.raises(CheckpointError, match=r"the tokenizer fails on a text .*; expected the tokenizer as it was"):
        tokenizer.count(["the city"])


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (pre.Sequence([pre.ByteLevel()] * 20), "ByteLevel 20 times"),
        (pre.Split(Regex("(x+x+)+y"), "isolated"), r"the regular expression '\(x\+x\+\)\+y'"),
    ],
)
def test_pre_tokenizers_that_can_fill_any_memory_are_refused(tmp_path: Path, rule: Any, problem: str) -> None:
    with pytest.raises(CheckpointError, match=f"its pre-tokenizer has {problem}"):
        load_tokenizer(folder_with(tmp_path, pre_tokenizer=rule))


def test_words_of_any_length_are_refused_since_they_take_quadratic_time(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["model"]["max_input_chars_per_word"] = 10**6
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match="max_input_chars_per_word is 1000000; expected at most 1000"):
        load_tokenizer(tmp_path)
