"""Token ids -> what is run at once: padded batches of texts of like length, or slices of the caller's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.types import Tensor

#: Texts are padded to multiples of this: TensorFlow makes its kernels anew for every new shape, and batches of all
#: lengths would spend more time on that than on what this adds.
LENGTH_STEP = 8


class TokenBatch(NamedTuple):
    """b texts padded to a common length of l tokens, as numpy arrays or as TensorFlow's tensors."""

    ids: Tensor  # int32 [b, l], padded at the end
    lengths: Tensor  # int32 [b], without padding
    segment_starts: Tensor  # int32 [b], the position from which the segment id is 1


class PaddedBatch(NamedTuple):
    """Some texts of a chunk, padded with 0."""

    rows: NDArray[np.intp]  # [b]: where these texts stand in the caller's order
    tokens: TokenBatch


class TokenSlice(NamedTuple):
    """Texts that follow each other, without padding."""

    rows: slice  # where these texts stand in the caller's order
    tokens: Tokens


def padded_length(longest: int, limit: int) -> int:
    """The common length for texts of which the longest has so many tokens: the next step, if limit allows it."""
    return max(min(-(-longest // LENGTH_STEP) * LENGTH_STEP, limit), longest)


def padded_batches(
    tokens: Tokens, *, limit: int, token_budget: int, batch_size: int | None = None
) -> Iterator[PaddedBatch]:
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
        yield PaddedBatch(rows, _padded(tokens, starts, rows, length))
        begin += len(rows)


def token_slices(tokens: Tokens, *, token_budget: int, batch_size: int | None = None) -> Iterator[TokenSlice]:
    """Yield every text once, in the caller's order, in slices of at most token_budget tokens and batch_size texts.

    A text longer than the budget makes a slice of its own.
    """
    ends = np.cumsum(tokens.lengths, dtype=np.int64)  # [n]: where each text ends in tokens.ids
    first = begin = 0
    while first < len(ends):
        last = max(int(np.searchsorted(ends, begin + token_budget, side="right")), first + 1)
        rows = slice(first, min(last, first + batch_size) if batch_size else last)
        end = int(ends[rows.stop - 1])
        part = Tokens(tokens.ids[begin:end], tokens.lengths[rows], tokens.segment_starts[rows], num_truncated=0)
        yield TokenSlice(rows, part)
        first, begin = rows.stop, end


def _padded(tokens: Tokens, starts: NDArray[np.int64], rows: NDArray[np.intp], length: int) -> TokenBatch:
    lengths = tokens.lengths[rows]
    columns = np.arange(length)
    within = columns < lengths[:, None]  # [b, l]
    source = np.where(within, starts[rows][:, None] + columns, 0)  # [b, l]
    ids = np.where(within, tokens.ids[source], np.int32(0))
    return TokenBatch(ids, lengths, tokens.segment_starts[rows])
