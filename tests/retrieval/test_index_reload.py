"""An open index follows changes of its file: it rereads little, and finds what a newly opened one finds."""

from __future__ import annotations

import copy
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import write_pair

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import FoundPassage, PassageIndex
from dpr_tiny_retriever.types import Similarity

COLORS = ["red", "green", "blue"]


class Counted(sqlite3.Cursor):
    """A cursor that counts the bytes of fetched blobs."""

    read = 0

    def __next__(self) -> Any:
        return self._count(super().__next__())

    def fetchone(self) -> Any:
        return self._count(super().fetchone())

    def fetchall(self) -> Any:
        return [self._count(row) for row in super().fetchall()]

    @staticmethod
    def _count(row: Any) -> Any:
        Counted.read += sum(len(value) for value in row or () if isinstance(value, bytes))
        return row


class CountedConnection(sqlite3.Connection):
    def execute(self, *arguments: Any) -> Any:
        return self.cursor(Counted).execute(*arguments)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """Count the blob bytes that a call reads from SQLite."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **options: connect(*a, factory=CountedConnection, **options))

    def measured(call: Callable[[], object]) -> int:
        Counted.read = 0
        call()
        return Counted.read

    return measured


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return DualEncoder.from_pretrained(write_pair(tmp_path_factory.mktemp("small"), layers=1, width=32))


def numbered(start: int, stop: int) -> list[IndexedPassage]:
    return [
        IndexedPassage(str(n), "", f"needle{n} in {COLORS[n % 3]}", metadata={"color": COLORS[n % 3]})
        for n in range(start, stop)
    ]


def test_after_a_change_a_reader_reads_the_end_of_an_index_and_not_the_whole(
    tmp_path: Path, small: DualEncoder, bytes_read: Callable[[Callable[[], object]], int]
) -> None:
    path = tmp_path / "index.sqlite"
    with PassageIndex(path, small) as writer, PassageIndex(path, small) as reader:
        writer.add(numbered(0, 8000))
        first = bytes_read(lambda: reader.search("needle5", 3))
        assert first > 8000 * 4 * 32
        assert bytes_read(lambda: reader.search("needle5", 3)) < first / 100
        for change in (lambda: writer.add(numbered(8000, 8001)), lambda: writer.delete(["17", "4711"])):
            change()
            # Of 32 blocks of vectors and 4 blocks of passage lengths, one each is read again.
            assert bytes_read(lambda: reader.search("needle5", 3)) < first / 15
        assert reader.search("needle8000", 1, mode="bm25")[0].passage.id == "8000"
        assert reader.search("needle4711", 1, mode="bm25") == []


def test_after_a_change_a_reader_of_words_alone_reads_their_last_block(
    tmp_path: Path, bytes_read: Callable[[Callable[[], object]], int]
) -> None:
    with BM25Index(tmp_path / "words.sqlite") as writer, BM25Index(tmp_path / "words.sqlite") as reader:
        writer.add([str(n) for n in range(20_000)], [f"needle{n}" for n in range(20_000)])
        first = bytes_read(lambda: reader.search("needle5", 3))
        writer.add(["new"], ["needle5"])
        writer.delete(["3"])
        assert bytes_read(lambda: reader.search("needle5", 3)) < first / 5
        assert reader.search("needle5", 3).ids == ["5", "new"]


def answers(index: PassageIndex) -> list[list[FoundPassage]]:
    return [
        index.search("red needle17", 300, mode="dense"),
        index.search("red needle17", 300, mode="bm25"),
        index.search("green", 20, where={"color": ["green", "red"]}),
        index.search("blue", 20, mode="dense", where={"color": "blue"}),
    ]


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_reader_that_follows_finds_what_one_finds_that_opens_the_file_anew(
    tmp_path: Path, small: DualEncoder, similarity: Similarity
) -> None:
    """Some deletions exceed the log, some empty the index or whole blocks."""
    encoder = copy.deepcopy(small)
    encoder.query_encoder.similarity = encoder.passage_encoder.similarity = similarity
    rng, path = random.Random(3), tmp_path / "index.sqlite"
    sizes = [300, 1, 700, 9500, 20, 0, 400, 2500, 5, 60]
    kept = [1.0, 0.9, 0.3, 1.0, 0.05, 0.5, 0.0, 1.0, 0.02, 0.99]
    added = 0
    with PassageIndex(path, encoder) as writer, PassageIndex(path, encoder) as reader:
        for size, part in zip(sizes, kept, strict=True):
            writer.add(numbered(added, added + size))
            added += size
            if size != 20:  # otherwise the reader sees both changes at once
                assert answers(reader)[1] or not len(reader)
            held = writer.ids()
            gone = held[: int(len(held) * (1 - part))] if size % 2 else [id for id in held if rng.random() >= part]
            writer.delete(gone)
            with PassageIndex(path, encoder) as new:
                assert answers(reader) == answers(new)
                assert len(reader) == len(held) - len(gone)


def test_a_reader_that_met_damage_reads_anew_once_it_is_mended(tmp_path: Path) -> None:
    path, encoder = tmp_path / "index.sqlite", DualEncoder.from_pretrained()
    with PassageIndex(path, encoder) as writer, PassageIndex(path, encoder) as reader:
        writer.add(numbered(0, 300))
        before = reader.search("needle7", 3)
        writer.add(numbered(300, 310))
        with sqlite3.connect(path) as connection:
            [(sound,)] = connection.execute("SELECT vectors FROM vectors WHERE block = 1")
            damaged = np.full(len(sound) // 4, np.nan, np.float32).tobytes()
            connection.execute("UPDATE vectors SET vectors = ? WHERE block = 1", (damaged,))
        for _ in range(2):
            with pytest.raises(UnusableIndexError, match="some vectors have a length"):
                reader.search("needle7", 3)
        with connection:
            connection.execute("UPDATE vectors SET vectors = ? WHERE block = 1", (sound,))
        connection.close()
        with PassageIndex(path, encoder) as new:
            assert answers(reader) == answers(new)
        writer.delete(str(n) for n in range(300, 310))
        assert reader.search("needle7", 3) == before
