"""Encoding many texts: the caller's order, whatever the batches, threads and lengths."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import write_pair

from dpr_tiny_retriever import DualEncoder, Encoder

pytestmark = [pytest.mark.also_lowest, pytest.mark.also_modern]

SENTENCES = [f"{'the city of river ' * (n % 9)}tower {n}" for n in range(200)]


@pytest.fixture(scope="module")
def alone(encoder: Encoder, texts: list[tuple[str, str]]) -> np.ndarray:
    """The vector of every text, encoded in a batch of its own."""
    return np.concatenate([encoder.encode([text]) for text in texts])


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_text_has_the_same_vector_whatever_it_is_batched_with(
    encoder: Encoder, texts: list[tuple[str, str]], alone: np.ndarray, data: st.DataObject
) -> None:
    """Any choice of texts, in any order, with any repetition, in batches of any size."""
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=30))
    vectors = encoder.encode([texts[row] for row in chosen], batch_size=data.draw(st.none() | st.integers(1, 31)))
    assert vectors.shape == (len(chosen), 128)
    np.testing.assert_allclose(vectors, alone[chosen], rtol=0, atol=1e-5)


def test_order_is_the_callers_beyond_what_is_sorted_at_once(encoder: Encoder) -> None:
    """More texts than are held at a time, so that batches of several portions come together."""
    rows = np.random.default_rng(0).integers(0, len(SENTENCES), 10_000)
    vectors = encoder.encode([SENTENCES[row] for row in rows])
    np.testing.assert_allclose(vectors, encoder.encode(SENTENCES)[rows], rtol=0, atol=1e-5)


def test_two_sides_are_two_models(pair: DualEncoder) -> None:
    query, passage = pair.encode_queries(["the city"]), pair.encode_passages(["the city"])
    assert not np.allclose(query, passage, atol=0.1)
    np.testing.assert_array_equal(pair.query_encoder.encode(["the city"]), query)
    np.testing.assert_array_equal(pair.passage_encoder.encode(["the city"]), passage)


def test_a_pair_and_its_sides_show_what_they_are(pair: DualEncoder, pair_directory: Path) -> None:
    backend = pair.backend
    facts = f"embedding_dim=128, similarity='dot', backend='{backend}'"
    assert repr(pair) == f"DualEncoder('{pair_directory}', {facts})"
    query, passage = pair_directory / "query_encoder", pair_directory / "passage_encoder"
    named = DualEncoder.from_pretrained(query_model=query, passage_model=passage)
    assert repr(named) == f"DualEncoder(query_model='{query}', passage_model='{passage}', {facts})"
    assert repr(DualEncoder(pair.query_encoder, pair.passage_encoder)) == f"DualEncoder(arrays, {facts})"
    expected = f"Encoder('{pair_directory}', side='query', embedding_dim=128, backend='{backend}')"
    assert repr(pair.query_encoder) == expected
    made = Encoder(pair.query_encoder.config, pair.query_encoder.weights, pair.query_encoder.tokenizer, max_length=9)
    assert repr(made) == f"Encoder(arrays, embedding_dim=128, backend='{backend}')"


def test_a_pair_tells_what_its_vectors_are(pair: DualEncoder) -> None:
    assert (pair.embedding_dim, pair.similarity, pair.normalize) == (128, "dot", False)
    assert (pair.query_encoder.max_length, pair.passage_encoder.max_length) == (64, 156)


def test_one_model_for_both_sides_is_held_once(pair_directory: Path) -> None:
    both = DualEncoder.from_pretrained(pair_directory / "query_encoder")
    assert both.query_encoder.weights is both.passage_encoder.weights
    assert (both.query_encoder.max_length, both.passage_encoder.max_length) == (64, 156)
    np.testing.assert_array_equal(both.encode_queries(["the city"]), both.encode_passages(["the city"]))


def test_two_models_make_a_pair(pair: DualEncoder, pair_directory: Path) -> None:
    made = DualEncoder.from_pretrained(
        query_model=pair_directory / "query_encoder", passage_model=str(pair_directory / "passage_encoder")
    )
    np.testing.assert_array_equal(made.encode_queries(["the city"]), pair.encode_queries(["the city"]))
    np.testing.assert_array_equal(made.encode_passages(["the city"]), pair.encode_passages(["the city"]))


def test_lengths_can_be_set_and_cuts_are_counted(pair_directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    short = DualEncoder.from_pretrained(pair_directory, max_query_length=8, max_passage_length=16)
    with caplog.at_level(logging.INFO, logger="dpr_tiny_retriever"):
        query, cut = short.encode_queries(["the city of the river of", "the city of the river of the tower"])
    np.testing.assert_allclose(query, cut, rtol=0, atol=1e-5)
    assert short.query_encoder.num_truncated == 1
    assert caplog.messages == ["1 of 2 texts were cut to 8 tokens"]
    short.encode_passages(["the " * 14, "the " * 15, ("the " * 14, "city")])
    assert short.passage_encoder.num_truncated == 2


def test_the_longest_length_is_the_models(pair_directory: Path) -> None:
    longest = DualEncoder.from_pretrained(pair_directory, max_query_length=512, max_passage_length=3)
    assert np.isfinite(longest.encode_queries(["the " * 600])).all()
    assert np.isfinite(longest.encode_passages([("the " * 600, "city " * 600)])).all()


@pytest.mark.parametrize("length", [513, 2, 0, -1])
def test_a_length_that_the_model_does_not_have_is_refused(pair_directory: Path, length: int) -> None:
    message = f"the maximum length is {length}; expected 3 to 512 tokens, the model's max_position_embeddings"
    with pytest.raises(ValueError, match=message):
        DualEncoder.from_pretrained(pair_directory, max_passage_length=length)


@pytest.mark.parametrize("length", ["64", 64.0, True])
def test_a_length_that_is_no_whole_number_is_refused(pair_directory: Path, length: int) -> None:
    with pytest.raises(TypeError, match=r"the maximum length is .*; expected a whole number of tokens"):
        Encoder.from_pretrained(pair_directory, side="query", max_length=length)


def test_short_models_shorten_the_usual_lengths(tmp_path: Path) -> None:
    small = DualEncoder.from_pretrained(write_pair(tmp_path, max_position_embeddings=32, width=32))
    assert (small.query_encoder.max_length, small.passage_encoder.max_length) == (32, 32)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(encoder: Encoder, count: int, show_progress: bool | None, *, terminal: bool = True) -> str:
    screen = Screen() if terminal else io.StringIO()
    with contextlib.redirect_stderr(screen):
        encoder.encode(["the city"] * count, show_progress=show_progress)
    return screen.getvalue()


def test_progress_is_shown_for_long_work_or_when_asked_for(encoder: Encoder) -> None:
    assert shown(encoder, 1, None) == shown(encoder, 1000, None) == shown(encoder, 2000, False) == ""
    assert "2000/2000" in shown(encoder, 2000, None)
    assert "3/3" in shown(encoder, 3, True)


def test_no_progress_is_written_to_a_file_unless_asked_for(encoder: Encoder) -> None:
    assert shown(encoder, 2000, None, terminal=False) == ""
    assert "3/3" in shown(encoder, 3, True, terminal=False)


def test_the_usual_switch_turns_progress_off(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert shown(encoder, 2000, None) == shown(encoder, 3, True) == ""


def test_a_program_without_standard_error_encodes_long_work(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    assert encoder.encode(["the city"] * 1001).shape == (1001, 128)
    assert encoder.encode(["the city"], show_progress=True).shape == (1, 128)


def test_another_length_shares_the_model(encoder: Encoder) -> None:
    short = encoder.with_max_length(8)
    assert (short.max_length, encoder.max_length) == (8, 156)
    assert short.weights is encoder.weights
    np.testing.assert_allclose(short.encode(["the city"]), encoder.encode(["the city"]), rtol=0, atol=1e-5)
    before = encoder.num_truncated
    short.encode(["the city " * 10])
    assert (short.num_truncated, encoder.num_truncated) == (1, before)


def test_eight_threads_give_the_vectors_of_one(pair: DualEncoder) -> None:
    portions = [SENTENCES[start : start + 25] for start in range(0, 200, 25)]
    expected = [(pair.encode_queries(portion), pair.encode_passages(portion)) for portion in portions]
    together = threading.Barrier(8)

    def work(portion: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        together.wait()
        return [(pair.encode_queries(portion, batch_size=size), pair.encode_passages(portion)) for size in (None, 1, 7)]

    with ThreadPoolExecutor(8) as pool:
        for results, (queries, passages) in zip(pool.map(work, portions), expected, strict=True):
            for found_queries, found_passages in results:
                np.testing.assert_allclose(found_queries, queries, rtol=0, atol=1e-5)
                np.testing.assert_allclose(found_passages, passages, rtol=0, atol=1e-5)


def test_no_cut_is_lost_between_threads(pair_directory: Path) -> None:
    encoder = Encoder.from_pretrained(pair_directory, side="query", max_length=4)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: encoder.encode(["the city of the river"] * 5), range(40)))
    assert encoder.num_truncated == 200


def test_a_first_call_in_eight_threads_at_once_is_safe(pair_directory: Path) -> None:
    fresh = DualEncoder.from_pretrained(pair_directory)
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(lambda _: fresh.encode_queries(["the city"]), range(8)))
    for vector in vectors:
        np.testing.assert_allclose(vector, vectors[0], rtol=0, atol=1e-5)


def test_warming_up_changes_nothing_and_may_be_repeated(pair_directory: Path) -> None:
    cold, warm = (DualEncoder.from_pretrained(pair_directory) for _ in range(2))
    warm.warm_up()
    warm.warm_up()
    np.testing.assert_array_equal(warm.encode_queries(["the city"]), cold.encode_queries(["the city"]))
    assert warm.query_encoder.num_truncated == 0


def test_a_stream_gives_the_vectors_of_the_whole_in_blocks(encoder: Encoder) -> None:
    texts = [("the tower", sentence) for sentence in SENTENCES] * 45
    blocks = list(encoder.stream(iter(texts)))
    assert [len(block) for block in blocks] == [4096, 4096, len(texts) - 8192]
    np.testing.assert_allclose(np.concatenate(blocks), encoder.encode(texts), rtol=0, atol=1e-5)
    assert list(encoder.stream([])) == []


def test_long_texts_come_in_shorter_blocks(encoder: Encoder) -> None:
    """So that a block of books needs no more memory than one of passages."""
    texts = ["the city " * 100_000, ("the river " * 100_000, "of the city " * 300_000), "the tower"] * 3
    blocks = list(encoder.stream(texts))
    assert [len(block) for block in blocks] == [2, 3, 3, 1]
    np.testing.assert_allclose(np.concatenate(blocks), encoder.encode(texts), rtol=0, atol=1e-5)


def test_a_stream_is_read_few_blocks_ahead(encoder: Encoder) -> None:
    """So that a corpus of any size needs the memory of a few blocks."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "the city"

    blocks = encoder.stream(endless())
    for number in range(1, 4):
        assert next(blocks).shape == (4096, encoder.embedding_dim)
        assert taken <= (number + 2) * 4096
    blocks.close()


def test_a_bad_item_of_a_stream_costs_no_block_before_it(encoder: Encoder) -> None:
    blocks = encoder.stream(["the city"] * 3 * 4096 + [None])  # type: ignore[list-item]
    for _ in range(3):
        assert next(blocks).shape == (4096, encoder.embedding_dim)
    with pytest.raises(TypeError, match="passage 12288 is None; expected Passage"):
        next(blocks)
    with pytest.raises(TypeError, match="passages is str"):
        next(encoder.stream("the city"))


def test_cuts_are_counted_while_a_stream_is_read(pair_directory: Path) -> None:
    encoder = Encoder.from_pretrained(pair_directory, side="passage", max_length=4)
    blocks = encoder.stream(["the city of the river", "the"] * 4096)
    next(blocks)
    assert encoder.num_truncated >= 2048
    blocks.close()
    assert encoder.num_truncated >= 2048


def test_cuts_before_a_bad_item_of_a_stream_are_counted(pair_directory: Path) -> None:
    encoder = Encoder.from_pretrained(pair_directory, side="passage", max_length=4)
    with pytest.raises(TypeError, match="passage 4096 is None"):
        list(encoder.stream(["the city of the river"] * 4096 + [None]))  # type: ignore[list-item]
    assert encoder.num_truncated == 4096


def test_a_second_warm_up_does_nothing(pair_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder.from_pretrained(pair_directory, side="query")
    asked = []
    monkeypatch.setattr(encoder.tokenizer, "warm_up", lambda: asked.append(True))
    for _ in range(3):
        encoder.warm_up(bulk=False)
    assert asked == [True]
