"""The BM25 index: words, ids, order, files and several users; test_bm25_agreement.py compares its ranking."""

from __future__ import annotations

import math
import re
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index
from dpr_tiny_retriever.retrieval.bm25_words import STOP_WORDS, bm25_words, matched_words, passage_words

RIVERS = ["river boat", "stone", "river river", "the and of", ""]


def filled(*texts: str) -> BM25Index:
    index = BM25Index()
    index.add([str(n) for n in range(len(texts))], texts)
    return index


# Words


def test_words_are_lower_cased_without_stop_words() -> None:
    assert bm25_words("Who wrote the Émile-Zola_2 of 1885?") == ["wrote", "émile", "zola_2", "1885"]
    assert passage_words("The Tide", "rises\nand falls") == ["tide", "rises", "falls"]
    assert passage_words(None, "") == []


@given(st.text())
def test_a_word_is_a_run_of_word_characters(text: str) -> None:
    assert bm25_words(text) == [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


def test_matched_words_are_those_of_the_question_that_the_passage_has() -> None:
    passage = Passage("Roses", "Roses are cut in early spring.")
    assert matched_words("When are ROSES cut, and why cut roses?", passage) == ["roses", "cut"]
    assert matched_words("the of and", passage) == matched_words("", passage) == []


# Searching


def test_scores_are_those_of_the_formula() -> None:
    found = filled(*RIVERS).search("river boat", 5)
    average = 5 / 5  # words a passage: 2 + 1 + 2 + 0 + 0
    river, boat = (math.log(1 + (5 - having + 0.5) / (having + 0.5)) for having in (2, 1))
    norm = 0.9 * (1 - 0.4 + 0.4 * 2 / average)
    assert found.ids == ["0", "2"]
    assert list(found.scores) == pytest.approx([(river + boat) / (1 + norm), river * 2 / (2 + norm)], rel=1e-6)


@pytest.mark.parametrize("question", ["", "the of and", "unheard words", "?!"])
def test_a_question_without_known_words_finds_nothing(question: str) -> None:
    found = filled(*RIVERS).search(question, 3)
    assert (list(found.ids), list(found.scores)) == ([], [])


def test_an_empty_index_finds_nothing() -> None:
    assert list(BM25Index().search("river", 3).ids) == []
    assert list(filled("the", "...").search("the river", 3).ids) == []


def test_equal_scores_come_in_the_order_of_adding() -> None:
    index = filled("same text", "same text", "other words", "same text")
    assert index.search("text", 2).ids == ["0", "1"]
    index.add(["0"], ["same text"])
    assert index.search("text", 9).ids == ["1", "3", "0"], "what is replaced counts as added last"


def test_a_search_can_be_confined_to_some_ids() -> None:
    index = filled(*RIVERS)
    everything = index.search("river boat", 5)
    confined = index.search("river boat", 5, among=["2", "1", "unknown"])
    assert confined.ids == ["2"]
    assert confined.scores[0] == everything.scores[1], "frequencies are those of the whole index"
    assert list(index.search("river", 5, among=[]).ids) == []


@pytest.mark.parametrize("size", [2, 7, 8, 40, 60])
def test_a_search_confined_to_few_or_many_ids_is_the_whole_ranking_without_the_others(size: int) -> None:
    index = filled(*(f"river {'boat ' * (n % 7)}stone {'mill ' * (n % 5)}" for n in range(60)))
    everything = index.search("boat mill", 60)
    chosen = [str(n) for n in range(60) if n * size % 60 < size]
    assert len(chosen) == size
    confined = index.search("boat mill", 3, among=chosen)
    expected = [(id, score) for id, score in zip(everything.ids, everything.scores, strict=True) if id in chosen][:3]
    assert list(zip(confined.ids, confined.scores, strict=True)) == expected


def test_wrong_arguments_are_refused() -> None:
    index = filled("a text")
    with pytest.raises(ValueError, match="found 2 ids and 1 passages; expected one id for each"):
        index.add(["x", "y"], ["text"])
    with pytest.raises(ValueError, match="the id 'x' is given twice"):
        index.add(["x", "x"], ["text", "more"])
    with pytest.raises(TypeError, match="an id is 7; expected str"):
        index.add([7], ["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="ids is '0'; expected a list of ids"):
        index.delete("0")
    with pytest.raises(ValueError, match="k is 0; expected at least 1"):
        index.search("text", 0)
    with pytest.raises(TypeError, match="query 0 is None; expected str"):
        index.search(None, 1)  # type: ignore[arg-type]
    assert index.ids() == ["0"]


# Adding and deleting


def test_passages_are_added_replaced_and_deleted_by_id() -> None:
    index = filled(*RIVERS)
    assert (len(index), index.ids()) == (5, ["0", "1", "2", "3", "4"])
    index.add(["1", "new"], [Passage("River", "mouth"), ("", "harbour")])
    assert index.delete(["0", "unknown"]) == 1
    assert (len(index), index.ids()) == (5, ["2", "3", "4", "1", "new"])
    assert index.search("river stone boat", 9).ids == ["2", "1"]
    assert index.search("harbour", 9).ids == ["new"]


def test_an_index_can_be_emptied_and_filled_again() -> None:
    index = filled(*["river boat"] * 5000)
    assert index.delete(index.ids()) == 5000
    assert (len(index), list(index.search("river", 9).ids)) == (0, [])
    index.add(["again"], ["a river"])
    assert index.search("boat", 9).ids == []
    [score] = index.search("river", 9).scores
    assert score == filled("a river").search("river", 9).scores[0]


# Files


def test_a_file_is_found_by_the_next_user(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "words.sqlite"
    with BM25Index(path) as index:
        index.add(["0", "1"], ["river boat", "stone"])
    with BM25Index(path) as reader, BM25Index(path) as writer:
        assert reader.search("river", 9).ids == ["0"]
        writer.add(["2"], ["river"])
        writer.delete(["0"])
        assert reader.search("river", 9).ids == ["2"]


def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.sqlite"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(UnusableIndexError, match=r"words\.sqlite is no index, or a damaged one"):
        BM25Index(path)


def test_entries_that_are_cut_short_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "words.sqlite"
    with BM25Index(path) as index:
        index.add(["0"], ["river"])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE bm25_postings SET entries = x'000000'")
    connection.close()
    with BM25Index(path) as index, pytest.raises(UnusableIndexError, match="3 bytes stand where numbers"):
        index.search("river", 1)


def test_threads_share_an_index() -> None:
    index = filled(*RIVERS)
    found: list[list[str]] = []

    def use(number: int) -> None:
        index.add([f"thread {number}"], ["a river"])
        found.append(list(index.search("river", 99).ids))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(index.search("river", 99).ids) == 10
