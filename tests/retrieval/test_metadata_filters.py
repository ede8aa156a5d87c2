"""Searches confined by metadata, and the metadata that an index can hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.metadata_labels import Where
from dpr_tiny_retriever.retrieval.passage_index import PassageIndex
from dpr_tiny_retriever.types import SearchMode

LONG = "a text of some length " * 10
LABELLED = [
    IndexedPassage("0", "", "one text", "a.md", {"year": 2020, "language": "en", "draft": True}),
    IndexedPassage("1", "", "two text", "b.md", {"year": 2021.0, "language": "de", "draft": False}),
    IndexedPassage("2", "", "three text", "a.md", {"year": "2020", "language": None, "source": "web", "tags": ["x"]}),
    IndexedPassage("3", "", "four text", "", {"year": 1, "note": LONG}),
    IndexedPassage("4", "", "five text", "b.md"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


@pytest.fixture(scope="module")
def labelled(pair: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageIndex]:
    """LABELLED, after other passages had their ids."""
    with PassageIndex(tmp_path_factory.mktemp("labelled") / "index.sqlite", pair) as index:
        index.add(IndexedPassage(one.id, "", "older", "a.md", {"year": 2020, "language": "en"}) for one in LABELLED)
        index.update(LABELLED)
        yield index


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "01234"),
        ({"year": 2020}, "0"),
        ({"year": 2020.0}, "0"),
        ({"year": 2021}, "1"),
        ({"year": ["2020", 2021, "unknown"]}, "12"),
        ({"draft": True}, "0"),
        ({"draft": 1}, ""),
        ({"year": 1}, "3"),
        ({"year": True}, ""),
        ({"language": None}, "2"),
        ({"language": ["en", "de"], "year": [2020, 2021]}, "01"),
        ({"language": "en", "year": 2021}, ""),
        ({"language": []}, ""),
        ({"note": LONG}, "3"),
        ({"source": "a.md"}, "0"),
        ({"source": ["b.md", "web"]}, "124"),
        ({"tags": "x"}, ""),
        ({"unknown": "en"}, ""),
    ],
)
def test_a_search_is_confined_by_metadata(labelled: PassageIndex, where: Where, expected: str) -> None:
    for mode in get_args(SearchMode):
        found = labelled.search("text", mode=mode, where=where)
        assert "".join(sorted(hit.passage.id for hit in found)) == expected, mode


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (["year"], r"where is \['year'\]; expected a dictionary"),
        ({1: "x"}, "where has the key 1; expected the name of a metadata field"),
        ({"year": {"$gt": 2000}}, r"where\['year'\] is .*; expected a text, a number, True, False or None, or a list"),
        ({"year": [[2000]]}, r"where\['year'\] is \[\[2000\]\]; expected a text"),
    ],
)
def test_a_filter_of_another_kind_is_refused(labelled: PassageIndex, where: Where, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        labelled.search("text", where=where)


def test_candidates_are_chosen_among_what_a_filter_allows(path: Path, pair: DualEncoder) -> None:
    """All of them are found, although hundreds of others are nearer."""
    with PassageIndex(path, pair) as index:
        index.add(IndexedPassage(str(n), "", "the text", "", {"part": n // 300}) for n in range(310))
        hits = index.search("the text", 50, where={"part": 1})
    assert [hit.passage.id for hit in hits] == [str(n) for n in range(300, 310)]


@pytest.mark.parametrize("metadata", [{"when": object()}, {1: "x"}, {"pair": (1, 2)}, {"x": float("nan")}])
def test_metadata_that_json_cannot_hold_are_refused(path: Path, pair: DualEncoder, metadata: dict[Any, object]) -> None:
    with PassageIndex(path, pair) as index:
        with pytest.raises(TypeError, match=r"the metadata of the passage 'm' are .*; expected what JSON can hold"):
            index.add([IndexedPassage("m", "", "text", "", metadata)])
        with pytest.raises(TypeError, match="the title of the passage 'm' is None; expected str"):
            index.add([IndexedPassage("m", None, "text")])  # type: ignore[arg-type]
        assert len(index) == 0


@pytest.mark.parametrize("metadata", [None, [1], "lang"])
def test_metadata_that_are_no_dictionary_are_refused(path: Path, pair: DualEncoder, metadata: object) -> None:
    with PassageIndex(path, pair) as index, pytest.raises(TypeError, match=r"passage 'm' are .*a dictionary"):
        index.add([IndexedPassage("m", "", "text", metadata=metadata)])  # type: ignore[arg-type]
