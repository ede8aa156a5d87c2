"""The training data's texts and token ids: each text once, its tokens those of encoding."""

from __future__ import annotations

import numpy as np
import pytest
from stored_examples import stored

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.model.batching import LENGTH_STEP
from dpr_tiny_retriever.training.token_store import TokenStore, drop_word_pieces

pytestmark = pytest.mark.training


def test_equal_texts_are_stored_once(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    assert (len(examples), len(examples.queries), len(examples.passages)) == (3, 2, 4)
    assert list(examples.passages.passages) == [
        Passage("Title", "a tower"),
        Passage(None, "not it"),
        Passage("City", "the city of the river"),
        Passage(None, "a river"),
    ]
    assert examples.known_positives(0) == [0, 3]  # of both examples with this question


def test_stored_tokens_are_those_of_encoding(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    rows = np.array([2, -1, 0])
    padded = examples.passages.padded(rows)
    expected = small_pair.passage_encoder.tokenizer.tokenize(
        [("City", "the city of the river"), ("Title", "a tower")], 16
    )
    assert padded.lengths.tolist() == [expected.lengths[0], 1, expected.lengths[1]]
    found = [padded.ids[row, : padded.lengths[row]].tolist() for row in (0, 2)]
    assert [*found[0], *found[1]] == expected.ids.tolist()
    assert padded.segment_starts[[0, 2]].tolist() == expected.segment_starts.tolist()
    assert examples.passages.padded(rows, 4).ids.shape == (3, 4)
    assert padded.ids.shape[1] % LENGTH_STEP == 0


def test_texts_may_be_added_after_others_were_tokenized(small_pair: DualEncoder) -> None:
    store = TokenStore(small_pair.query_encoder.tokenizer, 6)
    first = store.passages.add_once("Title", "a tower")
    before = store.tokens(first).tolist()
    second = store.passages.add_once(None, "the city of the river is a city")
    assert [first, second, store.passages.add_once("Title", "a tower")] == [0, 1, 0]
    assert store.tokens(first).tolist() == before
    assert store.lengths().tolist() == [len(before), 6]
    assert store.num_truncated == 1
    assert list(store.passages) == [Passage("Title", "a tower"), Passage(None, "the city of the river is a city")]


def test_words_left_out_leave_the_special_tokens(small_pair: DualEncoder) -> None:
    examples = stored(small_pair)
    whole = examples.passages.padded(np.array([0, 1, 2, 3]))
    rng = np.random.default_rng(0)
    assert all(np.array_equal(a, b) for a, b in zip(drop_word_pieces(whole, 0.0, rng), whole, strict=True))
    left_out = 0
    for _ in range(20):
        found = drop_word_pieces(whole, 0.5, rng)
        for row in range(4):
            before = whole.ids[row, : whole.lengths[row]].tolist()
            after = found.ids[row, : found.lengths[row]].tolist()
            left_out += len(before) - len(after)
            assert [after[0], after[-1]] == [before[0], before[-1]]
            rest = iter(before)
            assert all(token in rest for token in after)  # in their order
            start = whole.segment_starts[row]
            if start < whole.lengths[row]:  # the text still begins behind the title's [SEP]
                assert found.ids[row, found.segment_starts[row] - 1] == before[start - 1]
            else:
                assert found.segment_starts[row] >= found.lengths[row]
    words = sum(len(set(examples.passages.tokens(row).tolist())) for row in range(4)) * 20
    assert 0.2 * words < left_out < 0.6 * words
