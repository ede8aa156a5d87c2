"""Token ids equal those that the tokenizers library makes with tokenizer.json, packed without padding."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import VOCABULARY, write_tokenizer
from tokenizer_reference import ours, reference
from tokenizers import Tokenizer

from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer

pytestmark = pytest.mark.also_lowest

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
