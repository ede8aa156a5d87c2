"""Token ids -> what is encoded at once: padded batches of texts of like length, or pieces of the caller's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.text.pair_tokenizer import Tokens

#: Texts are padded to multiples of this: TensorFlow makes its kernels anew for every new shape, and batches of all
#: lengths would spend more time on that than on what this adds.
LENGTH_STEP = 8


class Batch(NamedTuple):
    """b texts padded to a common length, l tokens."""

    rows: NDArray[np.intp]  # [b]: where these texts stand in the caller's order
    token_ids: NDArray[np.int32]  # [b, l], zero behind each text's end
    lengths: NDArray[np.int32]  # [b]
    segment_starts: NDArray[np.int32]  # [b]


class Piece(NamedTuple):
    """Texts that follow each other, without padding."""

    rows: slice  # where these texts stand in the caller's order
    tokens: Tokens


def padded_length(longest: int, limit: int) -> int:
    """The common length for texts of which the longest has so many tokens: the next step, if limit allows it."""
    return max(min(-(-longest // LENGTH_STEP) * LENGTH_STEP, limit), longest)


def batches(tokens: Tokens, *, limit: int, token_budget: int, batch_size: int | None = None) -> Iterator[Batch]:
    """Yield every text once, longest first, in batches of at most token_budget padded tokens and batch_size texts.

    Longest first, so that a machine too small for the largest batch says so at once. A text longer than the budget
    makes a batch of its own. limit is the longest text that the model can read, padding included.
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    starts = np.cumsum(tokens.lengths, dtype=np.int64) - tokens.lengths  # [n]: where each text begins in tokens.ids
    begin = 0
    while begin < len(order):
        length = padded_length(int(tokens.lengths[order[begin]]), limit)
        count = max(1, token_budget // length)
        rows = order[begin : begin + (min(count, batch_size) if batch_size else count)]
        yield _padded(tokens, starts, rows, length)
        begin += len(rows)


def pieces(tokens: Tokens, *, token_budget: int, batch_size: int | None = None) -> Iterator[Piece]:
    """Yield every text once, in the caller's order, in pieces of at most token_budget tokens and batch_size texts.

    A text longer than the budget makes a piece of its own.
    """
    ends = np.cumsum(tokens.lengths, dtype=np.int64)  # [n]: where each text ends in tokens.ids
    first = begin = 0
    while first < len(ends):
        last = max(int(np.searchsorted(ends, begin + token_budget, side="right")), first + 1)
        rows = slice(first, min(last, first + batch_size) if batch_size else last)
        end = int(ends[rows.stop - 1])
        yield Piece(
            rows, Tokens(tokens.ids[begin:end], tokens.lengths[rows], tokens.segment_starts[rows], num_truncated=0)
        )
        first, begin = rows.stop, end


def _padded(tokens: Tokens, starts: NDArray[np.int64], rows: NDArray[np.intp], length: int) -> Batch:
    lengths = tokens.lengths[rows]
    columns = np.arange(length)
    within = columns < lengths[:, None]  # [b, l]
    source = np.where(within, starts[rows][:, None] + columns, 0)  # [b, l]
    token_ids = np.where(within, tokens.ids[source], np.int32(0))
    return Batch(rows, token_ids, lengths, tokens.segment_starts[rows])
