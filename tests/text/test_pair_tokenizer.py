"""Token ids equal those that the tokenizers library makes with tokenizer.json, packed without padding."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import VOCABULARY, write_json, write_tokenizer
from tokenizers import Tokenizer

from dpr_tiny_retriever import CheckpointError
from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer, save_tokenizer
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer

#: Without surrogates: the tokenizers library refuses them.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORDS = st.lists(st.sampled_from(["the", "city", "river", "naïve", "日本", "x.y"]), max_size=40).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PairTokenizer:
    return load_tokenizer(folder)


def reference(folder: Path, title: str, text: str, max_length: int) -> tuple[list[int], list[int]]:
    """Ids and segment ids by the tokenizers library, truncated longest first."""
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.enable_truncation(max_length, strategy="longest_first")
    encoding = theirs.encode(title, text) if title.strip() else theirs.encode(text)
    return encoding.ids, encoding.type_ids


def ours(tokenizer: PairTokenizer, title: str, text: str, max_length: int) -> tuple[list[int], list[int]]:
    tokens = tokenizer.tokenize([(title, text)], max_length)
    assert tokens.ids.dtype == tokens.lengths.dtype == tokens.segment_starts.dtype == np.int32
    return tokens.ids.tolist(), (np.arange(len(tokens.ids)) >= tokens.segment_starts[0]).astype(int).tolist()


@given(title=WORDS, text=WORDS, max_length=st.integers(3, 50))
@settings(deadline=None)
def test_pairs_are_truncated_longest_first_as_by_the_library(
    folder: Path, tokenizer: PairTokenizer, title: str, text: str, max_length: int
) -> None:
    assert ours(tokenizer, title, text, max_length) == reference(folder, title, text, max_length)


@given(text=TEXT)
@settings(deadline=None)
def test_any_text_gives_the_tokens_of_the_library(folder: Path, tokenizer: PairTokenizer, text: str) -> None:
    assert ours(tokenizer, "", text, 64) == reference(folder, "", text, 64)
    title, _ = reference(folder, "", text, 64)
    if len(title) > 2:  # a title without word pieces is no title
        assert ours(tokenizer, text, "river", 64) == reference(folder, text, "river", 64)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=6), st.integers(3, 30))
@settings(deadline=None)
def test_pairs_are_tokenized_together_as_one_by_one(
    tokenizer: PairTokenizer, pairs: list[tuple[str, str]], max_length: int
) -> None:
    together = tokenizer.tokenize(pairs, max_length)
    separate = [tokenizer.tokenize([pair], max_length) for pair in pairs]
    assert together.ids.tolist() == [token for tokens in separate for token in tokens.ids]
    assert together.lengths.tolist() == [len(tokens.ids) for tokens in separate]
    assert together.segment_starts.tolist() == [start for tokens in separate for start in tokens.segment_starts]
    assert together.num_truncated == sum(tokens.num_truncated for tokens in separate)


@pytest.mark.parametrize("length", [3, 4, 5, 16])
def test_a_text_is_counted_as_truncated_exactly_when_it_is(tokenizer: PairTokenizer, length: int) -> None:
    assert tokenizer.tokenize([("", "city " * (length - 2))], length).num_truncated == 0
    assert tokenizer.tokenize([("", "city " * (length - 1))], length).num_truncated == 1
    assert (
        tokenizer.tokenize(
            [("", "city " * (length - 2)), ("the " * length, ""), ("the", "city " * length)], length
        ).num_truncated
        == 2
    )


def test_the_segment_id_of_a_text_after_a_title_is_a_setting(folder: Path) -> None:
    without = load_tokenizer(folder, text_segment=0)
    assert ours(without, "the city", "river", 16)[1] == [0] * 6
    assert ours(load_tokenizer(folder), "the city", "river", 16)[1] == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "the city in the river. " * 500,
        "日本" * 5_000,
        " " * 2_000 + "the city " * 500,
        "x" * 2_000 + " the city" * 500,
        "the " * 700 + "riverrivercity" * 200,
    ],
)
def test_the_beginning_of_a_long_text_gives_the_tokens_of_the_whole_text(
    folder: Path, tokenizer: PairTokenizer, text: str
) -> None:
    for length in (3, 8, 40):
        assert ours(tokenizer, "", text, length) == reference(folder, "", text, length)
        assert ours(tokenizer, text, "city", length) == reference(folder, text, "city", length)
        assert tokenizer.tokenize([("", text)], length).num_truncated == 1


def test_a_thousand_characters_for_each_token_are_read_and_the_rest_counts_as_truncated(
    tokenizer: PairTokenizer,
) -> None:
    tokens = tokenizer.tokenize([("", " " * 8_000 + "the city")], 8)
    assert tokens.ids.tolist() == [VOCABULARY.index("[CLS]"), VOCABULARY.index("[SEP]")]
    assert tokens.num_truncated == 1


def test_truncation_and_padding_settings_in_a_tokenizer_file_are_ignored(folder: Path, tmp_path: Path) -> None:
    carried = Tokenizer.from_file(str(folder / "tokenizer.json"))
    carried.enable_truncation(4)
    carried.enable_padding(length=128)
    carried.save(str(tmp_path / "tokenizer.json"))
    assert ours(load_tokenizer(tmp_path), "", "the city in the river", 64) == reference(
        folder, "", "the city in the river", 64
    )


@pytest.mark.parametrize("text", ["The CITY, naïve!", "日本 x.y 🗼", "[MASK] of the [SEP]"])
@pytest.mark.parametrize("kind", ["BertTokenizer", "BertTokenizerFast", "DPRContextEncoderTokenizer", None])
def test_vocab_txt_separate_makes_the_same_tokenizer(folder: Path, tmp_path: Path, text: str, kind: str | None) -> None:
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


def test_what_is_saved_also_loads_from_its_vocab_txt(tokenizer: PairTokenizer, tmp_path: Path) -> None:
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


def vocabulary_only(folder: Path, target: Path, kind: str) -> Path:
    shutil.copy(folder / "vocab.txt", target)
    write_json(target / "config.json", {"model_type": "bert"})
    write_json(target / "tokenizer_config.json", {"tokenizer_class": kind})
    return target


def test_a_tokenizer_of_another_class_is_converted_by_transformers(folder: Path, tmp_path: Path) -> None:
    converted = load_tokenizer(vocabulary_only(folder, tmp_path, "ElectraTokenizer"))
    text = "The City, naïve [MASK]"
    assert ours(converted, "x.y", text, 64) == reference(folder, "x.y", text, 64)


@pytest.mark.parametrize("kind", ["BertJapaneseTokenizer", "CanineTokenizer"])
def test_a_tokenizer_that_splits_words_in_its_own_way_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(CheckpointError, match=rf"found a {kind}, which has no fast form; expected tokenizer.json"):
        load_tokenizer(vocabulary_only(folder, tmp_path, kind))
