"""Cached word pieces equal those that the tokenizers library gives for the whole text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import VOCABULARY
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace

from dpr_tiny_retriever.text.word_piece_cache import WordPieceCache

#: Hard cases: special tokens, control characters, combining accents, rare whitespace.
HARD = ["the", "City", "rivers", "[MASK]", "[mask]", "[", "MASK]", "\x00", "\x1c", "\x7f", "\xa0", "\u0301", "é", "İ"]
HARD += [
    "\u200b",
    "\u2028",
    "\u3000",
    "\u037e",
    "日本",
    "ΑΣ",
    "ﬁ",
    "¿",
    "_",
    "x.y",
    "9,5",
    "ab" * 30,
    " ",
    "\t",
    "\r\n",
]
TEXT = st.lists(st.sampled_from(HARD) | st.characters(exclude_categories=["Cs"]), max_size=20).map("".join)


def bert_tokenizer(*, normalizer: object = None, pre_tokenizer: object = None) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece({word: row for row, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer or BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizer or BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def by_library(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def by_cache(cache: WordPieceCache, texts: list[str]) -> list[list[int]]:
    return [np.frombuffer(ids, np.int32).tolist() for ids in cache.tokenize(texts)]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("chinese", [True, False])
@pytest.mark.parametrize("accents", [True, False, None])
@given(texts=st.lists(TEXT, max_size=4))
@settings(deadline=None, max_examples=25)
def test_ids_equal_the_librarys_for_any_text_and_any_setting_of_bert(
    clean: bool, lower: bool, chinese: bool, accents: bool | None, texts: list[str]
) -> None:
    tokenizer = bert_tokenizer(
        normalizer=BertNormalizer(
            clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower
        )
    )
    cache = WordPieceCache(tokenizer)
    assert by_cache(cache, texts) == by_library(tokenizer, texts)
    assert by_cache(cache, texts) == by_library(tokenizer, texts)  # now from the cache


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"), [(Lowercase(), None), (None, Whitespace())], ids=["normalizer", "pre-tokenizer"]
)
def test_tokenizers_with_other_rules_are_left_to_the_library(normalizer: object, pre_tokenizer: object) -> None:
    tokenizer = bert_tokenizer(normalizer=normalizer, pre_tokenizer=pre_tokenizer)
    texts = ["The City, naïve rivers", "x.y the--city"]
    assert by_cache(WordPieceCache(tokenizer), texts) == by_library(tokenizer, texts)


def test_an_added_token_that_spans_normalized_words_is_found() -> None:
    tokenizer = bert_tokenizer()
    tokenizer.add_tokens([AddedToken("the city", normalized=True, special=False)])
    texts = ["THE CITY", "in The City of rivers"]
    expected = by_library(tokenizer, texts)
    assert tokenizer.token_to_id("the city") in expected[0]
    assert by_cache(WordPieceCache(tokenizer), texts) == expected


class RecordingTokenizer:
    """A tokenizer that records the texts it encodes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.tokenizer, name)

    def encode_batch_fast(self, texts: list[str], **options: bool) -> object:
        self.texts += texts
        return self.tokenizer.encode_batch_fast(texts, **options)

    def encode(self, text: str, **options: bool) -> object:
        self.texts.append(text)
        return self.tokenizer.encode(text, **options)


def test_the_library_encodes_each_word_once_until_the_cache_is_full() -> None:
    tokenizer = bert_tokenizer()
    recording = RecordingTokenizer(tokenizer)
    cache = WordPieceCache(recording, max_words=3)  # type: ignore[arg-type]
    endless = "river" * 10
    texts = ["the city, the river", endless]
    assert by_cache(cache, texts) == by_library(tokenizer, texts)
    assert sorted(recording.texts) == [",", "city", "river", endless, "the"]
    assert len(cache) == 3
    assert by_cache(cache, ["title"]) == by_library(tokenizer, ["title"])
    assert len(cache) == 1  # a fourth word: it starts anew
    recording.texts.clear()
    assert by_cache(cache, ["title", endless]) == by_library(tokenizer, ["title", endless])
    assert recording.texts == [endless]


def test_no_more_words_are_cached_than_may_be_however_many_a_call_brings() -> None:
    tokenizer = bert_tokenizer()
    cache = WordPieceCache(tokenizer, max_words=100)
    texts = [f"{first}{second} the" for first in VOCABULARY[30:60] for second in VOCABULARY[30:60]]
    assert by_cache(cache, texts) == by_library(tokenizer, texts)
    assert len(cache) == 100


def test_many_characters_are_tokenized_in_groups() -> None:
    tokenizer = bert_tokenizer()
    recording = RecordingTokenizer(tokenizer)
    texts = ["the city " * 20_000, "river", "x" * 2_000_000, "", "title of a tower " * 60_000, "city"]
    assert by_cache(WordPieceCache(recording), texts) == by_library(tokenizer, texts)  # type: ignore[arg-type]
    endless = recording.texts.index("x" * 2_000_000)  # too long to be kept
    assert set(recording.texts[:endless]) == {"the", "city", "river"}
    assert sorted(recording.texts[endless + 1 :]) == ["a", "of", "title", "tower"]


def test_threads_get_the_ids_of_their_own_texts_while_the_cache_starts_anew() -> None:
    tokenizer = bert_tokenizer()
    cache = WordPieceCache(tokenizer, max_words=4)
    texts = [f"{first} {second} {number % 7}" for number, first in enumerate(VOCABULARY) for second in VOCABULARY[-9:]]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda text: by_cache(cache, [text])[0], texts))
    assert ids == by_library(tokenizer, texts)


def test_a_warm_up_caches_the_words_of_the_vocabulary() -> None:
    tokenizer = bert_tokenizer()
    recording = RecordingTokenizer(tokenizer)
    cache = WordPieceCache(recording)  # type: ignore[arg-type]
    cache.warm_up()
    assert by_cache(cache, ["the city"]) == by_library(tokenizer, ["the city"])
    assert recording.texts == []


@pytest.mark.parametrize("lowercase", [True, False])
def test_words_cached_by_a_warm_up_have_the_librarys_ids(lowercase: bool) -> None:
    tokenizer = bert_tokenizer(normalizer=BertNormalizer(lowercase=lowercase))
    tokenizer.model.max_input_chars_per_word = 4
    cache = WordPieceCache(tokenizer)
    cache.warm_up()
    words = list(tokenizer.get_vocab())
    assert by_library(tokenizer, ["river"]) == [[tokenizer.token_to_id("[UNK]")]]  # longer than four characters
    assert by_cache(cache, words) == by_library(tokenizer, words)


def test_a_warm_up_caches_nothing_for_tokenizers_with_other_rules() -> None:
    cache = WordPieceCache(bert_tokenizer(pre_tokenizer=Whitespace()))
    cache.warm_up()
    assert len(cache) == 0
