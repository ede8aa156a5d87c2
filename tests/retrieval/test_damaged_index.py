"""A damaged or forged index file gives an error that names it, whatever the defect."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import PassageIndex


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


def numbered(start: int, stop: int) -> list[IndexedPassage]:
    return [IndexedPassage(str(n), f"title {n}", f"the text of number {n}", "made") for n in range(start, stop)]


def open_and_search(path: Path, pair: DualEncoder) -> set[str]:
    with PassageIndex(path, pair) as index:
        return {hit.passage.id for hit in index.search("the text", top_k=10_000)}


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "no database":
        content = bytearray(b"something else" * 100)
    elif how == "cut":
        del content[len(content) // 2 :]
    else:
        content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["no database", "cut", "overwritten"])
def test_a_damaged_file_is_named(path: Path, pair: DualEncoder, how: str) -> None:
    with PassageIndex(path, pair) as index:
        index.add(numbered(0, 600))
    damage(path, how)
    with pytest.raises(UnusableIndexError, match=r"index\.sqlite is no index, or a damaged one .*; remove the file"):
        open_and_search(path, pair)


def test_vectors_of_the_wrong_size_are_damage(path: Path, pair: DualEncoder) -> None:
    with PassageIndex(path, pair) as index:
        index.add(numbered(0, 3))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET vectors = x'00000000'")
    connection.close()
    with PassageIndex(path, pair) as index, pytest.raises(UnusableIndexError, match="4 bytes of vectors"):
        index.search("text")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vectors SET vectors = 'a text'",
        "UPDATE passages SET metadata = '{'",
        "UPDATE passages SET metadata = '[]'",
        "UPDATE passages SET text = x'00'",
        "UPDATE info SET value = 'often' WHERE key = 'changes'",
        "UPDATE bm25_blocks SET lengths = 'a text'",
        "UPDATE bm25_postings SET entries = 'text'",
    ],
)
def test_values_of_another_kind_are_damage(path: Path, pair: DualEncoder, change: str) -> None:
    with PassageIndex(path, pair) as index:
        index.add(numbered(0, 3))
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    with PassageIndex(path, pair) as index, pytest.raises(UnusableIndexError, match="a damaged one"):
        index.search("text")


def test_a_damaged_name_of_a_table_is_damage(path: Path, pair: DualEncoder) -> None:
    PassageIndex(path, pair).close()
    content = path.read_bytes()
    assert b"CREATE TABLE vectors" in content
    path.write_bytes(content.replace(b"CREATE TABLE vectors", b"CREATE T\xed\x28E vectors"))
    with pytest.raises(UnusableIndexError, match="a damaged one"):
        PassageIndex(path, pair)


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_vectors_that_no_model_has_made_are_damage(path: Path, value: float) -> None:
    with PassageIndex(path, encoder := DualEncoder.from_pretrained()) as index:
        index.add(numbered(0, 3))
    with sqlite3.connect(path) as connection:
        vectors = np.full((3, encoder.embedding_dim), value, np.float32)
        connection.execute("UPDATE vectors SET vectors = ?", (vectors.tobytes(),))
    connection.close()
    with PassageIndex(path, encoder) as index, pytest.raises(UnusableIndexError, match="some vectors have a length"):
        index.search("text")
