"""Embeddings are kept by content, survive a kill, and are reused by whatever shares their texts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from retrieval_data import json_lines, library_corpus, write_library, write_text

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.evaluation import EmbeddingCache, PassageStore, load_dataset

pytestmark = pytest.mark.evaluation


@pytest.fixture(scope="module")
def encoder(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory)


class Counting:
    """The encoder, and how many texts it was given."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder = encoder
        self.encoded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_passages(self, passages: Iterable[Any], **options: Any) -> NDArray[np.float32]:
        vectors = self._encoder.encode_passages(passages, **options)
        self.encoded += len(vectors)
        return vectors

    def encode_queries(self, queries: list[str], **options: Any) -> NDArray[np.float32]:
        self.encoded += len(queries)
        return self._encoder.encode_queries(queries, **options)


def corpus_of(*parts: list[tuple[str, str]]) -> PassageStore:
    corpus = PassageStore()
    for number, part in enumerate(parts):
        corpus.begin_part(Path(f"part{number}"))
        for line, (title, text) in enumerate(part, start=1):
            corpus.add(f"{number}-{line}", title, text, line)
    return corpus


def encoded(cache: EmbeddingCache, encoder: DualEncoder, corpus: PassageStore) -> tuple[NDArray[np.float32], int]:
    counting = Counting(encoder)
    return cache.passages(counting, corpus, corpus.unique_passages()), counting.encoded  # type: ignore[arg-type]


PASSAGES = [(f"title {n % 3}", f"the passage of number {n}") for n in range(20)]


def test_the_second_run_encodes_nothing(tmp_path: Path, encoder: DualEncoder) -> None:
    cache = EmbeddingCache(tmp_path, shard_size=8)
    first, count = encoded(cache, encoder, corpus_of(PASSAGES))
    again, none = encoded(cache, encoder, corpus_of(PASSAGES))
    assert (count, none) == (20, 0)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, encoder.encode_passages(PASSAGES), atol=1e-5)
    counting = Counting(encoder)
    for expected in (2, 2):
        cache.queries(counting, ["who wrote", "when"])  # type: ignore[arg-type]
        assert counting.encoded == expected


def test_without_a_folder_nothing_is_kept(encoder: DualEncoder) -> None:
    cache = EmbeddingCache(None)
    assert [encoded(cache, encoder, corpus_of(PASSAGES))[1] for _ in range(2)] == [20, 20]


def test_equal_passages_are_encoded_once(tmp_path: Path, encoder: DualEncoder) -> None:
    corpus = corpus_of([PASSAGES[0], PASSAGES[1], PASSAGES[0]], [PASSAGES[1], PASSAGES[2]])
    unique = corpus.unique_passages()
    assert unique.first.tolist() == [0, 1, 4]
    assert unique.of_row.tolist() == [0, 1, 0, 1, 2]
    assert encoded(EmbeddingCache(tmp_path), encoder, corpus)[1] == 3


def test_a_corpus_that_shares_a_file_shares_its_vectors(tmp_path: Path, encoder: DualEncoder) -> None:
    cache = EmbeddingCache(tmp_path, shard_size=8)
    more = [("more", f"distractor {n}") for n in range(10)]
    assert encoded(cache, encoder, corpus_of(PASSAGES))[1] == 20
    assert encoded(cache, encoder, corpus_of(PASSAGES, more))[1] == 10
    assert encoded(cache, encoder, corpus_of(PASSAGES[:3], more))[1] == 3


def test_a_change_of_text_or_model_is_a_change_of_key(
    tmp_path: Path, encoder: DualEncoder, pair_directory: Path
) -> None:
    cache = EmbeddingCache(tmp_path, shard_size=8)
    encoded(cache, encoder, corpus_of(PASSAGES))
    assert encoded(cache, encoder, corpus_of([*PASSAGES[:-1], ("title", "changed")]))[1] == 4  # the last shard
    assert encoded(cache, encoder, corpus_of([("", "a|b")]))[1] == 1
    assert encoded(cache, encoder, corpus_of([("a", "b")]))[1] == 1
    shorter = DualEncoder.from_pretrained(pair_directory, max_passage_length=8)
    normalized = DualEncoder.from_pretrained(pair_directory, normalize=True)
    again = DualEncoder.from_pretrained(pair_directory)
    prints = [one.passage_encoder.fingerprint() for one in (encoder, again, shorter, normalized)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert encoder.query_encoder.fingerprint() not in prints
    assert encoded(cache, shorter, corpus_of(PASSAGES))[1] == 20


def test_a_damaged_shard_is_made_anew(tmp_path: Path, encoder: DualEncoder) -> None:
    cache = EmbeddingCache(tmp_path, shard_size=8)
    first, _ = encoded(cache, encoder, corpus_of(PASSAGES))
    shards = sorted(tmp_path.rglob("*.npy"))
    shards[0].write_bytes(shards[0].read_bytes()[:100])
    shards[1].write_bytes(b"")
    again, count = encoded(cache, encoder, corpus_of(PASSAGES))
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert count in (12, 16)


def test_a_folder_that_cannot_be_written_to_costs_one_warning(
    tmp_path: Path, encoder: DualEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder can be made below a file")
    cache = EmbeddingCache(tmp_path / "file" / "cache", shard_size=4)
    vectors, count = encoded(cache, encoder, corpus_of(PASSAGES))
    uncached, expected = encoded(EmbeddingCache(None, shard_size=4), encoder, corpus_of(PASSAGES))
    assert count == expected
    np.testing.assert_array_equal(vectors, uncached)
    [message] = caplog.messages
    assert message.startswith(f"embeddings are not cached in {tmp_path / 'file' / 'cache'}: ")


RUN = """
import sys
from pathlib import Path
from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.evaluation import Dense, EmbeddingCache, evaluate, load_dataset
data, pair, cache = map(Path, sys.argv[1:])
dense = Dense("pair", DualEncoder.from_pretrained(pair), cache=EmbeddingCache(cache, shard_size=50))
evaluate(load_dataset(data), [dense], ks=[1])
"""


@pytest.mark.posix
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, encoder: DualEncoder, pair_directory: Path) -> None:
    data, cache = write_library(tmp_path / "data"), tmp_path / "cache"
    words = " ".join(["the river of the city"] * 30)
    more = [{"_id": f"x{n}", "title": f"title {n}", "text": f"{words} {n}"} for n in range(20_000)]
    write_text(data / "corpus.jsonl", json_lines([*library_corpus(), *more]))

    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(data), str(pair_directory), str(cache)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while len(list(cache.rglob("*.npy"))) < 3 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert 3 <= len(kept) < 401
    for path in kept:
        assert np.load(path).shape == (50, 128)

    # Only as much of the corpus is run to the end here as shows where the work was taken up again.
    size = 50 * (len(kept) + 2)
    dataset = load_dataset(data, limit_passages=size)
    vectors, count = encoded(EmbeddingCache(cache, shard_size=50), encoder, dataset.corpus)
    assert count == 100
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    np.testing.assert_allclose(vectors, encoder.encode_passages(dataset.corpus), atol=1e-5)
