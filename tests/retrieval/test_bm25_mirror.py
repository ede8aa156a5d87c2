"""BM25 over the passages of a store: kept in step with it, and blended with what it finds by vector."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from dpr_tiny_retriever import Passage
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index
from dpr_tiny_retriever.retrieval.bm25_mirror import BM25Mirror
from dpr_tiny_retriever.retrieval.fusion import Placement, RankedList, blend

PASSAGES = {
    "w": Passage("Whale", "It dives deep in the sea."),
    "t": Passage("Tides", "The sea rises and falls."),
    "b": Passage(None, "A bee fills combs."),
}


@pytest.fixture
def mirror() -> BM25Mirror:
    filled = BM25Mirror()
    filled.synchronize(PASSAGES)
    return filled


def test_dense_scores_are_blended_with_those_of_bm25(mirror: BM25Mirror) -> None:
    dense = {"b": 0.3, "w": 0.7, "t": 0.6}
    hits = mirror.search("sea falls", dense, 2, cosine=True)
    bm25 = BM25Index()
    bm25.add(list(PASSAGES), list(PASSAGES.values()))
    words = bm25.search("sea falls", 100)
    numbers = {"w": 0, "t": 1, "b": 2}
    expected = blend(
        RankedList([0, 1, 2], [0.7, 0.6, 0.3]),
        RankedList([numbers[str(id)] for id in words.ids], words.scores),
        2,
        depth=100,
        cosine=True,
    )
    assert [(numbers[hit.id], hit.score) for hit in hits] == list(
        zip(expected.ids.tolist(), expected.scores.tolist(), strict=True)  # type: ignore[union-attr]
    )
    [placement] = [hit.placement for hit in hits if hit.id == "t"]
    assert placement == Placement(2, 0.6, 1, float(words.scores[0]))


def test_equal_scores_keep_the_order_in_which_passages_were_added(mirror: BM25Mirror) -> None:
    equal = dict.fromkeys(("zebra", "t", "b", "w", "ant"), 0.5)
    order = [hit.id for hit in mirror.search("nothing", equal, 9, cosine=True)]
    assert order == ["w", "t", "b", "zebra", "ant"], "passages that are not known here come last"
    mirror.add(["w"], [PASSAGES["w"]])
    assert [hit.id for hit in mirror.search("nothing", equal, 3, cosine=True)] == ["t", "b", "w"]


def test_bm25_chooses_among_some(mirror: BM25Mirror) -> None:
    assert [hit.id for hit in mirror.search("sea", {}, 9, cosine=True, among=["t", "unknown"])] == ["t"]
    assert mirror.search("sea", {}, 9, cosine=True, among=[]) == []


def test_synchronize_deletes_what_is_gone_and_adds_what_is_new_or_has_another_text(mirror: BM25Mirror) -> None:
    changed = {"w": PASSAGES["w"], "b": Passage(None, "A bee dances."), "n": Passage(None, "new")}
    assert [mirror.holds(id, passage) for id, passage in changed.items()] == [True, False, False]
    mirror.synchronize(changed)
    assert len(mirror) == 3
    assert [mirror.holds(id, passage) for id, passage in changed.items()] == [True, True, True]
    assert mirror.search("falls", {}, 9, cosine=True) == []
    assert {hit.id for hit in mirror.search("dances new", {}, 9, cosine=True)} == {"b", "n"}
    mirror.delete(["b", "unknown"])
    assert not mirror.holds("b", changed["b"])


def test_a_file_is_read_again(tmp_path: Path) -> None:
    first = BM25Mirror(tmp_path / "words.sqlite")
    first.synchronize(PASSAGES)
    expected = first.search("sea", {"b": 0.5, "t": 0.5}, 9, cosine=True)
    first.close()
    again = BM25Mirror(tmp_path / "words.sqlite")
    assert len(again) == 3
    assert again.search("sea", {"b": 0.5, "t": 0.5}, 9, cosine=True) == expected
    assert again.holds("w", PASSAGES["w"])
    again.synchronize({**PASSAGES, "w": Passage(None, "another text")})
    assert not again.holds("w", PASSAGES["w"])
    assert [hit.id for hit in again.search("another sea", {}, 9, cosine=True)] == ["w", "t"]
    again.close()


def test_a_copy_of_one_in_memory_is_empty(mirror: BM25Mirror) -> None:
    assert len(copy.deepcopy(mirror)) == 0
    assert len(mirror) == 3
