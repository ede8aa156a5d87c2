"""Batches: every text once, like lengths together, within the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpr_tiny_retriever.model.batching import LENGTH_STEP, PaddedBatch, padded_batches, padded_length, token_slices
from dpr_tiny_retriever.text.pair_tokenizer import Tokens

LENGTHS = st.lists(st.integers(2, 40), max_size=60)
BUDGET = st.integers(1, 300)
SIZE = st.none() | st.integers(1, 20)


def tokens_of(lengths: list[int]) -> Tokens:
    """Texts of these lengths; token ids count up from 1, so that every token is known by its id."""
    total = sum(lengths)
    starts = [length // 2 for length in lengths]
    return Tokens(np.arange(1, total + 1, dtype=np.int32), np.array(lengths, np.int32), np.array(starts, np.int32), 0)


def cut(lengths: list[int], budget: int, size: int | None, limit: int = 512) -> list[PaddedBatch]:
    return list(padded_batches(tokens_of(lengths), limit=limit, token_budget=budget, batch_size=size))


@given(LENGTHS, BUDGET, SIZE)
def test_every_text_comes_once_and_whole(lengths: list[int], budget: int, size: int | None) -> None:
    tokens = tokens_of(lengths)
    ends = np.cumsum(lengths)
    seen = []
    for batch in cut(lengths, budget, size):
        for row, ids, length, start in zip(
            batch.rows, batch.tokens.ids, batch.tokens.lengths, batch.tokens.segment_starts, strict=True
        ):
            seen.append(int(row))
            assert ids[:length].tolist() == tokens.ids[ends[row] - lengths[row] : ends[row]].tolist()
            assert ids[length:].tolist() == [0] * (len(ids) - length)
            assert (length, start) == (lengths[row], lengths[row] // 2)
    assert sorted(seen) == list(range(len(lengths)))


@given(LENGTHS, BUDGET, SIZE)
def test_no_batch_is_over_the_budget_or_the_size_but_a_text_alone(
    lengths: list[int], budget: int, size: int | None
) -> None:
    for batch in cut(lengths, budget, size):
        assert batch.tokens.ids.size <= budget or len(batch.rows) == 1
        assert size is None or len(batch.rows) <= size


@given(LENGTHS, BUDGET, SIZE, st.integers(40, 50))
def test_batches_are_padded_to_a_step_that_the_model_can_read(
    lengths: list[int], budget: int, size: int | None, limit: int
) -> None:
    for batch in cut(lengths, budget, size, limit):
        count, padded = batch.tokens.ids.shape
        assert count == len(batch.rows)
        assert padded % LENGTH_STEP == 0 or padded == limit
        assert max(batch.tokens.lengths) <= padded < max(batch.tokens.lengths) + LENGTH_STEP


@given(LENGTHS, BUDGET)
def test_batches_are_as_full_as_the_budget_allows(lengths: list[int], budget: int) -> None:
    cuts = cut(lengths, budget, None)
    for batch in cuts[:-1]:
        longest = batch.tokens.ids.shape[1]
        assert (len(batch.rows) + 1) * longest > budget


@given(LENGTHS, BUDGET, SIZE)
def test_the_longest_come_first(lengths: list[int], budget: int, size: int | None) -> None:
    widths = [batch.tokens.ids.shape[1] for batch in cut(lengths, budget, size)]
    assert widths == sorted(widths, reverse=True)
    assert not widths or widths[0] == padded_length(max(lengths), 512)


def test_no_texts_give_no_batches() -> None:
    assert cut([], 100, None) == []


@given(LENGTHS, BUDGET, SIZE)
def test_slices_are_the_texts_in_order_as_many_as_budget_and_size_allow(
    lengths: list[int], budget: int, size: int | None
) -> None:
    tokens = tokens_of(lengths)
    cuts = list(token_slices(tokens, token_budget=budget, batch_size=size))
    assert [row for part in cuts for row in range(len(lengths))[part.rows]] == list(range(len(lengths)))
    for field in ("ids", "lengths", "segment_starts"):
        joined = [value for part in cuts for value in getattr(part.tokens, field).tolist()]
        assert joined == getattr(tokens, field).tolist()
    for number, part in enumerate(cuts):
        count, total = len(part.tokens.lengths), len(part.tokens.ids)
        assert sum(part.tokens.lengths) == total
        assert 1 <= count <= (size or count)
        assert total <= budget or count == 1
        if number + 1 < len(cuts):
            assert count == size or total + cuts[number + 1].tokens.lengths[0] > budget
