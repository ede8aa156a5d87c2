"""(title, text) pairs -> token ids: word pieces between [CLS] and [SEP], truncated and packed end to end."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.text.word_piece_cache import BYTES_PER_ID, WordPieceCache

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Only the beginning of a long text is tokenized, so that a book costs no more than its first page: this many
#: characters for each token of max_length.
CHARS_PER_TOKEN = 100
#: Second attempt, for texts whose beginning gave too few tokens (whitespace, one endless word).
MAX_CHARS_PER_TOKEN = 1000
#: Cutting inside a word can change at most this many trailing word pieces: WordPiece maps longer words to one [UNK].
MAX_WORD_CHARS = 100

#: [CLS], and [SEP] behind title and text.
_PAIR_SPECIAL_TOKENS = 3
#: Segment start of a sequence whose tokens all have segment id 0.
NO_SECOND_SEGMENT = np.iinfo(np.int32).max


class Tokens(NamedTuple):
    """The token ids of n sequences, packed end to end without padding."""

    ids: NDArray[np.int32]  # [sum of lengths]
    lengths: NDArray[np.int32]  # [n]
    segment_starts: NDArray[np.int32]  # [n]: position from which the segment id is 1
    num_truncated: int  # number of sequences that were longer than max_length


class PairTokenizer:
    """Turns (title, text) pairs into `[CLS] title [SEP] text [SEP]`, or `[CLS] text [SEP]` without a title.

    Thread-safe. text_segment is the segment id of a text that follows a title; prompt is put before each sequence.
    """

    def __init__(self, tokenizer: Tokenizer, *, text_segment: int = 1, cls: str = "[CLS]", sep: str = "[SEP]") -> None:
        ids = [tokenizer.token_to_id(token) for token in (cls, sep)]
        if None in ids:
            missing = [token for token, id_ in zip((cls, sep), ids, strict=True) if id_ is None]
            names = " and no token ".join(missing)
            raise CheckpointError(f"the tokenizer has no token {names}; expected a BERT tokenizer")
        # A tokenizer file may carry truncation and padding settings; both are done here instead.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.text_segment = text_segment
        self.prompt = ""
        self.cls_id, self.sep_id = cast("list[int]", ids)
        self._cls, self._sep = (np.int32(id_).tobytes() for id_ in (self.cls_id, self.sep_id))
        self._cache = WordPieceCache(tokenizer)

    @cached_property  # encoders of several lengths share a tokenizer
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        return max(self.tokenizer.get_vocab().values()) + 1

    def with_prompt(self, prompt: str) -> PairTokenizer:
        """The same tokenizer with another prompt; both share one cache of words."""
        twin = copy.copy(self)
        twin.prompt = prompt
        return twin

    def tokenize(self, pairs: Sequence[tuple[str, str]], max_length: int) -> Tokens:
        """Tokenize pairs, truncating each to max_length tokens: the longer of title and text first.

        Of a title or text, at most 1,000 characters for each token of max_length are read.
        """
        if self.prompt:  # in front of the title, where there is one
            pairs = [
                (self.prompt + title, text) if title.strip() else ("", self.prompt + text) for title, text in pairs
            ]
        parts = [part for title, text in pairs for part in ((title, text) if title else (text,))]
        word_pieces = iter(self._word_pieces(parts, max_length))
        packed: list[bytes] = []
        lengths = np.empty(len(pairs), np.int32)
        segment_starts = np.empty(len(pairs), np.int32)
        num_truncated = 0
        for row, (title, text) in enumerate(pairs):
            head = next(word_pieces) if title else b""
            tail = next(word_pieces)
            sizes = len(head) // BYTES_PER_ID, len(tail) // BYTES_PER_ID
            head_size, tail_size = _longest_first(*sizes, max_length - (_PAIR_SPECIAL_TOKENS if head else 2))
            read_whole = max(len(title), len(text)) <= MAX_CHARS_PER_TOKEN * max_length
            num_truncated += (head_size, tail_size) != sizes or not read_whole
            packed.append(self._cls)
            if head:
                packed += head[: head_size * BYTES_PER_ID], self._sep
            packed += tail[: tail_size * BYTES_PER_ID], self._sep
            text_start = head_size + 2 if head else 1
            lengths[row] = text_start + tail_size + 1
            segment_starts[row] = text_start if head and self.text_segment else NO_SECOND_SEGMENT
        return Tokens(np.frombuffer(b"".join(packed), np.int32), lengths, segment_starts, num_truncated)

    def count(self, texts: list[str]) -> list[int]:
        """The number of word pieces of each whole text, without special tokens and prompt."""
        return [len(word_pieces) // BYTES_PER_ID for word_pieces in self._cache.tokenize(texts)]

    def room(self, max_length: int) -> int:
        """How many word pieces of title and text together are read at max_length; the prompt takes its share."""
        return max(0, max_length - _PAIR_SPECIAL_TOKENS - self.count([self.prompt])[0])

    def warm_up(self) -> None:
        """Fill the cache of words, so that the first texts need not."""
        self._cache.warm_up()

    def _word_pieces(self, texts: list[str], max_length: int) -> list[bytes]:
        """The word pieces of each text, or of a beginning that is sure to fill max_length tokens."""
        limit = CHARS_PER_TOKEN * max_length
        word_pieces = self._cache.tokenize([text[:limit] for text in texts])
        for row, text in enumerate(texts):
            if len(text) > limit and len(word_pieces[row]) < (max_length + MAX_WORD_CHARS) * BYTES_PER_ID:
                word_pieces[row] = self._cache.tokenize([text[: MAX_CHARS_PER_TOKEN * max_length]])[0]
        return word_pieces


def _longest_first(head: int, tail: int, room: int) -> tuple[int, int]:
    """How many tokens of each part fit into room, shared as Hugging Face's longest-first truncation shares it."""
    if head + tail <= room:
        return head, tail
    room = max(room, 0)
    shorter = min(head, tail, room // 2)
    return (shorter, room - shorter) if head <= tail else (room - shorter, shorter)
