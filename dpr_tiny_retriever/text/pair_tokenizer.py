"""Texts -> token ids: word pieces between [CLS] and [SEP], cut to a length, packed end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.text.word_piece_cache import ID_SIZE, WordPieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Of a long text only the beginning is read, so that a book costs no more than its first page: this many
#: characters for each token that is kept, and where they give too few tokens (blanks, one endless word), the
#: second number.
_LONG, _LONGEST = 100, 1000
#: Word pieces that a word cut in two can change: one of more characters is a single unknown token.
_WORD = 100

_NOWHERE = np.iinfo(np.int32).max  # where a text starts that has no segment of its own


class Tokens(NamedTuple):
    """The token ids of n texts, packed end to end."""

    ids: NDArray[np.int32]  # [sum of lengths]
    lengths: NDArray[np.int32]  # [n]
    text_starts: NDArray[np.int32]  # [n]: position from which the segment id is 1
    truncated: int  # how many of the texts were longer than the limit


class PairTokenizer:
    """Turns (title, text) pairs into `[CLS] title [SEP] text [SEP]`, without a title into `[CLS] text [SEP]`.

    Thread-safe. text_segment is the segment id of a text that follows a title.
    """

    def __init__(self, tokenizer: Tokenizer, *, text_segment: int = 1, cls: str = "[CLS]", sep: str = "[SEP]") -> None:
        ids = [tokenizer.token_to_id(token) for token in (cls, sep)]
        if None in ids:
            missing = [token for token, id_ in zip((cls, sep), ids, strict=True) if id_ is None]
            names = " and no token ".join(missing)
            raise CheckpointError(f"the tokenizer has no token {names}; expected a BERT tokenizer")
        # A tokenizer file may carry the cutting and padding of whoever saved it; both are done here.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.text_segment = text_segment
        self.cls_id, self.sep_id = cast("list[int]", ids)
        self._cls, self._sep = (np.int32(id_).tobytes() for id_ in (self.cls_id, self.sep_id))
        self._pieces = WordPieces(tokenizer)

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        return max(self.tokenizer.get_vocab().values()) + 1

    def __call__(self, pairs: Sequence[tuple[str, str]], max_length: int) -> Tokens:
        """Tokenise pairs, each cut to max_length tokens: the longer of title and text is cut first.

        A title or text of more than 1,000 characters for each token that is kept is cut there before.
        """
        parts = [part for title, text in pairs for part in ((title, text) if title else (text,))]
        pieces = iter(self._word_pieces(parts, max_length))
        packed: list[bytes] = []
        lengths = np.empty(len(pairs), np.int32)
        text_starts = np.empty(len(pairs), np.int32)
        truncated = 0
        for row, (title, text) in enumerate(pairs):
            head = next(pieces) if title else b""
            tail = next(pieces)
            sizes = len(head) // ID_SIZE, len(tail) // ID_SIZE
            kept_head, kept_tail = _longest_first(*sizes, max_length - (3 if head else 2))
            read = max(len(title), len(text)) <= _LONGEST * max_length
            truncated += (kept_head, kept_tail) != sizes or not read
            packed.append(self._cls)
            if head:
                packed += head[: kept_head * ID_SIZE], self._sep
            packed += tail[: kept_tail * ID_SIZE], self._sep
            text_start = kept_head + 2 if head else 1
            lengths[row] = text_start + kept_tail + 1
            text_starts[row] = text_start if head and self.text_segment else _NOWHERE
        return Tokens(np.frombuffer(b"".join(packed), np.int32), lengths, text_starts, truncated)

    def warm_up(self) -> None:
        """Do now what the first texts with a word would wait for."""
        self._pieces.warm_up()

    def _word_pieces(self, texts: list[str], max_length: int) -> list[bytes]:
        """The word pieces of each text, or of as much of its beginning as surely fills max_length tokens."""
        limit = _LONG * max_length
        pieces = self._pieces([text[:limit] for text in texts])
        for row, text in enumerate(texts):
            if len(text) > limit and len(pieces[row]) < (max_length + _WORD) * ID_SIZE:
                pieces[row] = self._pieces([text[: _LONGEST * max_length]])[0]
        return pieces


def _longest_first(head: int, tail: int, room: int) -> tuple[int, int]:
    """How many tokens of each part fit into room, as Hugging Face's longest-first truncation shares it."""
    if head + tail <= room:
        return head, tail
    room = max(room, 0)
    shorter = min(head, tail, room // 2)
    return (shorter, room - shorter) if head <= tail else (room - shorter, shorter)
