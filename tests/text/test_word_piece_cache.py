"""Word pieces by kept words: always those that the library gives for the whole text."""

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

from dpr_tiny_retriever.text import word_piece_cache as word_pieces
from dpr_tiny_retriever.text.word_piece_cache import WordPieces

#: What rules might trip over: words of the vocabulary, special tokens, controls, joined accents, rare blanks.
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


def made(*, normalizer: object = None, pre_tokenizer: object = None) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece({word: row for row, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer or BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizer or BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def by_the_library(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def by_words(pieces: WordPieces, texts: list[str]) -> list[list[int]]:
    return [np.frombuffer(ids, np.int32).tolist() for ids in pieces(texts)]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("chinese", [True, False])
@pytest.mark.parametrize("accents", [True, False, None])
@given(texts=st.lists(TEXT, max_size=4))
@settings(deadline=None, max_examples=25)
def test_ids_are_the_librarys_for_any_text_and_setting_of_bert(
    clean: bool, lower: bool, chinese: bool, accents: bool | None, texts: list[str]
) -> None:
    tokenizer = made(
        normalizer=BertNormalizer(
            clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower
        )
    )
    pieces = WordPieces(tokenizer)
    assert by_words(pieces, texts) == by_the_library(tokenizer, texts)
    assert by_words(pieces, texts) == by_the_library(tokenizer, texts)  # of kept words, this time


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer"), [(Lowercase(), None), (None, Whitespace())], ids=["normalizer", "pre-tokenizer"]
)
def test_other_rules_are_the_librarys_own(normalizer: object, pre_tokenizer: object) -> None:
    tokenizer = made(normalizer=normalizer, pre_tokenizer=pre_tokenizer)
    texts = ["The City, naïve rivers", "x.y the--city"]
    assert by_words(WordPieces(tokenizer), texts) == by_the_library(tokenizer, texts)


def test_an_added_token_that_cleaned_words_form_is_found() -> None:
    tokenizer = made()
    tokenizer.add_tokens([AddedToken("the city", normalized=True, special=False)])
    texts = ["THE CITY", "in The City of rivers"]
    expected = by_the_library(tokenizer, texts)
    assert tokenizer.token_to_id("the city") in expected[0]
    assert by_words(WordPieces(tokenizer), texts) == expected


def test_the_library_is_asked_for_each_word_once_and_words_are_forgotten_when_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = made()

    class Asked:
        """The tokenizer, with a note of what it was asked."""

        def __init__(self) -> None:
            self.texts: list[str] = []

        def __getattr__(self, name: str) -> object:
            return getattr(tokenizer, name)

        def encode_batch_fast(self, texts: list[str], **options: bool) -> object:
            self.texts += texts
            return tokenizer.encode_batch_fast(texts, **options)

        def encode(self, text: str, **options: bool) -> object:
            self.texts.append(text)
            return tokenizer.encode(text, **options)

    asked = Asked()
    pieces = WordPieces(asked)  # type: ignore[arg-type]
    endless = "river" * 10
    for _ in range(2):
        assert by_words(pieces, ["the city, the river", endless]) == by_the_library(
            tokenizer, ["the city, the river", endless]
        )
    assert sorted(asked.texts) == [",", "city", "river", endless, endless, "the"]
    monkeypatch.setattr(word_pieces, "_MOST", 3)
    pieces(["the"])
    assert asked.texts[-1] == "the"


def test_many_threads_get_their_own_texts_while_words_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "_MOST", 4)
    tokenizer = made()
    pieces = WordPieces(tokenizer)
    texts = [f"{first} {second} {number % 7}" for number, first in enumerate(VOCABULARY) for second in VOCABULARY[-9:]]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: by_words(pieces, [text])[0], texts))
    assert found == by_the_library(tokenizer, texts)


def test_words_of_the_vocabulary_are_kept_by_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = made()
    pieces = WordPieces(tokenizer)
    monkeypatch.setattr(pieces, "_asked", lambda texts: [b""] * len(texts))
    assert by_words(pieces, ["city"]) == [[]]
    pieces = WordPieces(tokenizer)
    pieces.warm_up()
    monkeypatch.setattr(pieces, "_asked", lambda texts: [b""] * len(texts))
    assert by_words(pieces, ["the city"]) == by_the_library(tokenizer, ["the city"])


@pytest.mark.parametrize("lowercase", [True, False])
def test_what_a_warm_up_keeps_is_the_librarys(lowercase: bool) -> None:
    tokenizer = made(normalizer=BertNormalizer(lowercase=lowercase))
    tokenizer.model.max_input_chars_per_word = 4
    pieces = WordPieces(tokenizer)
    pieces.warm_up()
    words = list(tokenizer.get_vocab())
    assert by_the_library(tokenizer, ["river"]) == [[tokenizer.token_to_id("[UNK]")]]  # longer than four
    assert by_words(pieces, words) == by_the_library(tokenizer, words)


def test_other_rules_keep_nothing_at_a_warm_up() -> None:
    tokenizer = made(pre_tokenizer=Whitespace())
    pieces = WordPieces(tokenizer)
    pieces.warm_up()
    assert not pieces._kept
