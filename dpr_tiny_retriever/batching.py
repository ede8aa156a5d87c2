"""Token ids -> batches of texts of like length under a token budget, each text with its place in the caller's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.tokenization import Tokens


class Batch(NamedTuple):
    """b texts padded to the longest of them, l tokens."""

    rows: NDArray[np.intp]  # [b]: where these texts stand in the caller's order
    token_ids: NDArray[np.int32]  # [b, l], zero behind each text's end
    lengths: NDArray[np.int32]  # [b]
    text_starts: NDArray[np.int32]  # [b]


def batches(tokens: Tokens, *, token_budget: int, batch_size: int | None = None) -> Iterator[Batch]:
    """Yield every text once, longest first, in batches of at most token_budget padded tokens and batch_size texts.

    Longest first, so that a machine too small for the largest batch says so at once. A text longer than the budget
    makes a batch of its own.
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    starts = np.cumsum(tokens.lengths, dtype=np.int64) - tokens.lengths  # [n]: where each text begins in tokens.ids
    begin = 0
    while begin < len(order):
        length = int(tokens.lengths[order[begin]])
        count = max(1, token_budget // length)
        rows = order[begin : begin + (min(count, batch_size) if batch_size else count)]
        yield _padded(tokens, starts, rows, length)
        begin += len(rows)


def _padded(tokens: Tokens, starts: NDArray[np.int64], rows: NDArray[np.intp], length: int) -> Batch:
    lengths = tokens.lengths[rows]
    columns = np.arange(length)
    within = columns < lengths[:, None]  # [b, l]
    source = np.where(within, starts[rows][:, None] + columns, 0)  # [b, l]
    token_ids = np.where(within, tokens.ids[source], np.int32(0))
    return Batch(rows, token_ids, lengths, tokens.text_starts[rows])
