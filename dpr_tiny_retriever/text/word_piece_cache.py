"""Texts -> word pieces. BERT's tokenizer treats every word by itself, so the pieces of each word are cached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_tiny_retriever.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BYTES_PER_ID = np.dtype(np.int32).itemsize

#: BERT's pre-tokenizer always splits at ASCII whitespace (dropped) and at ASCII punctuation (each a word). Everything
#: else, control characters and other scripts too, is left to the tokenizers library.
WORD = re.compile(r"[^\t\n\r !-/:-@\[-`{-~]+|[!-/:-@\[-`{-~]")
#: Longer words are not cached: they rarely come again, and in scripts without spaces they are whole sentences.
MAX_CACHED_CHARS = 48
#: A lower-case ASCII word, which BERT's normalizer leaves as it is.
PLAIN_WORD = re.compile(rf"[a-z0-9]{{1,{MAX_CACHED_CHARS}}}")
#: Up to this many texts, encoding one after the other is faster than a batch in the library's threads.
MAX_SERIAL_TEXTS = 4
#: About so many characters are split into words at once: the words take a hundred times their memory.
_CHARS_AT_ONCE = 1 << 20


class WordPieceCache:
    """The word pieces of texts, equal to what the tokenizer gives without special tokens.

    Thread-safe. Tokenizers with other rules than BERT's, and texts that contain a special token, go to the tokenizers
    library unsplit. At most max_words words are cached (about 200 bytes each): where more would be, it starts anew.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_words: int = 1 << 17) -> None:
        self._tokenizer = tokenizer
        self._max_words = max_words
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._special = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._splits_by_word = _splits_by_word(tokenizer)
        self._ids_of: dict[str, bytes] = {}

    def __len__(self) -> int:
        """The number of cached words."""
        return len(self._ids_of)

    def tokenize(self, texts: list[str]) -> list[bytes]:
        """The token ids of each text, as the bytes of an int32 array."""
        if len(texts) > 1 and sum(map(len, texts)) > _CHARS_AT_ONCE:
            return [ids for group in _groups(texts) for ids in self.tokenize(group)]
        if not self._splits_by_word:
            return self._tokenize_uncached(texts)
        ids_of = self._ids_of  # another thread may start a new cache meanwhile
        words = [WORD.findall(text) for text in texts]
        new = [word for word in set[str]().union(*words).difference(ids_of) if len(word) <= MAX_CACHED_CHARS]
        if new:
            ids_of = self._with_new(ids_of, dict(zip(new, self._tokenize_uncached(new), strict=True)))
        joined = [self._join(*pair, ids_of) for pair in zip(texts, words, strict=True)]
        missed = [row for row, ids in enumerate(joined) if ids is None]
        for row, ids in zip(missed, self._tokenize_uncached([texts[row] for row in missed]), strict=True):
            joined[row] = ids
        return joined  # type: ignore[return-value]

    def warm_up(self) -> None:
        """Cache the vocabulary's plain lower-case words, whose only piece is the word."""
        if self._splits_by_word:
            longest = self._tokenizer.model.max_input_chars_per_word
            words = {word: id_ for word, id_ in self._tokenizer.get_vocab().items() if PLAIN_WORD.fullmatch(word)}
            self._ids_of |= {word: np.int32(id_).tobytes() for word, id_ in words.items() if len(word) <= longest}

    def _with_new(self, ids_of: dict[str, bytes], new: dict[str, bytes]) -> dict[str, bytes]:
        """The ids of all these words; the new ones are cached, as many as there may be."""
        if self._ids_of is ids_of and len(ids_of) + len(new) <= self._max_words:
            ids_of.update(new)
            return ids_of
        self._ids_of = dict(islice(new.items(), self._max_words))
        return ids_of | new

    def _join(self, text: str, words: Iterable[str], ids_of: dict[str, bytes]) -> bytes | None:
        """The ids of the words in a row; None where one is not cached or the text contains a special token."""
        if self._special.search(text):
            return None
        try:
            return b"".join(map(ids_of.__getitem__, words))
        except KeyError:
            return None

    def _tokenize_uncached(self, texts: list[str]) -> list[bytes]:
        if not texts:
            return []
        try:
            if len(texts) <= MAX_SERIAL_TEXTS:
                encodings = [self._tokenizer.encode(text, add_special_tokens=False) for text in texts]
            else:
                encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except BaseException as error:
            if is_tokenizers_own(error):
                raise CheckpointError(
                    f"the tokenizer fails on a text ({error}); expected the tokenizer as it was published: download or "
                    "copy it again"
                ) from error
            raise
        return [np.array(encoding.ids, np.int32).tobytes() for encoding in encodings]


def is_tokenizers_own(error: BaseException) -> bool:
    """Whether the tokenizers library raised this for rules that it cannot follow: it has no error class of its own."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def _groups(texts: list[str]) -> Iterator[list[str]]:
    """The texts in groups, each of one text or of few enough characters."""
    group: list[str] = []
    chars = 0
    for text in texts:
        if group and chars + len(text) > _CHARS_AT_ONCE:
            yield group
            group, chars = [], 0
        group.append(text)
        chars += len(text)
    yield group


def _splits_by_word(tokenizer: Any) -> bool:
    """Whether a text's ids are those of its words: BERT's rules, and no added token that could span words."""
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    return (
        isinstance(tokenizer.model, WordPiece)
        and isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and not any(token.normalized for token in tokenizer.get_added_tokens_decoder().values())
    )
