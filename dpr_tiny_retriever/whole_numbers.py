"""Checks of numbers that callers give: lengths in tokens and sizes of batches."""

from __future__ import annotations

from numbers import Integral


def check_batch_size(batch_size: int | None) -> None:
    """Raise TypeError or ValueError unless this is a batch size: a positive whole number, or None."""
    if batch_size is not None and not _is_whole(batch_size):
        raise TypeError(f"batch_size is {batch_size!r}; expected a whole number or None")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected at least 1, or None for as many as are fast")


def checked_length(max_length: int, longest: int) -> int:
    """Return max_length as an int; raises TypeError or ValueError unless it is from 3 to longest."""
    if not _is_whole(max_length):
        raise TypeError(f"the maximum length is {max_length!r}; expected a whole number of tokens")
    if not 3 <= max_length <= longest:
        raise ValueError(
            f"the maximum length is {max_length}; expected 3 to {longest} tokens, the model's max_position_embeddings"
        )
    return int(max_length)


def _is_whole(number: object) -> bool:
    """Whether this is an integer, numpy's included, and not a bool."""
    return isinstance(number, Integral) and not isinstance(number, bool)
