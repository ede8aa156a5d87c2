"""Texts -> word pieces: the tokenizers library's, asked once for each word where words are all that it looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Bytes of one token id.
ID_SIZE = np.dtype(np.int32).itemsize

#: What BERT's rules never look beyond: blanks, which vanish, and ASCII punctuation, of which each character is a word.
#: All else, other scripts and control characters too, is left in one piece for the library to clean and to split.
_WORDS = re.compile(r"[^\t\n\r !-/:-@\[-`{-~]+|[!-/:-@\[-`{-~]")
#: So many words are kept, at some 200 bytes each, and then all are forgotten: a stream never stops bringing new ones.
_MOST = 1 << 17
#: Longer words, in characters, are not kept: they hardly come again, and in scripts without blanks are whole sentences.
_LONGEST = 48
_PLAIN = re.compile(rf"[a-z0-9]{{1,{_LONGEST}}}")
#: So few texts are sooner asked for one by one than given to the library's threads.
_FEW = 4


class WordPieces:
    """The token ids of texts, as the tokenizer gives them without special tokens, each text's as the bytes of int32.

    Thread-safe. A tokenizer by BERT's rules treats every word by itself, so that the ids of a text are those of its
    words, which are kept. Other tokenizers, and texts that hold a special token, are left to the library as they are.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._special = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._by_word = _splits_by_word(tokenizer)
        self._kept: dict[str, bytes] = {}

    def __call__(self, texts: list[str]) -> list[bytes]:
        """The ids of each text."""
        if not self._by_word:
            return self._asked(texts)
        if len(self._kept) > _MOST:
            self._kept = {}
        kept = self._kept  # another thread may begin a new one meanwhile
        words = [_WORDS.findall(text) for text in texts]
        new = [word for word in set[str]().union(*words).difference(kept) if len(word) <= _LONGEST]
        if new:
            kept.update(zip(new, self._asked(new), strict=True))
        found = [self._joined(text, of_text, kept) for text, of_text in zip(texts, words, strict=True)]
        left = [row for row, ids in enumerate(found) if ids is None]
        for row, ids in zip(left, self._asked([texts[row] for row in left]), strict=True):
            found[row] = ids
        return found  # type: ignore[return-value]

    def warm_up(self) -> None:
        """Keep the vocabulary's whole words of plain small letters and digits, which BERT's rules leave as they are."""
        if self._by_word:
            longest = self._tokenizer.model.max_input_chars_per_word
            words = {word: id_ for word, id_ in self._tokenizer.get_vocab().items() if _PLAIN.fullmatch(word)}
            self._kept |= {word: np.int32(id_).tobytes() for word, id_ in words.items() if len(word) <= longest}

    def _joined(self, text: str, words: Iterable[str], kept: dict[str, bytes]) -> bytes | None:
        if self._special.search(text):
            return None
        try:
            return b"".join(map(kept.__getitem__, words))
        except KeyError:
            return None

    def _asked(self, texts: list[str]) -> list[bytes]:
        if not texts:
            return []
        if len(texts) <= _FEW:
            encodings = [self._tokenizer.encode(text, add_special_tokens=False) for text in texts]
        else:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32).tobytes() for encoding in encodings]


def _splits_by_word(tokenizer: Any) -> bool:
    """Whether a text's ids are those of its words: BERT's rules, and no added token that cleaned words may form."""
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    return (
        isinstance(tokenizer.model, WordPiece)
        and isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and not any(token.normalized for token in tokenizer.get_added_tokens_decoder().values())
    )
