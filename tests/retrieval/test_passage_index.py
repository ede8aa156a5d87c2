"""An index of passages on disk, with a model that ranks sensibly, and with real kills."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index
from dpr_tiny_retriever.retrieval.fusion import LIST_LENGTH, Placement, RankedList, blend
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import Changes, PassageIndex
from dpr_tiny_retriever.types import SearchMode

ROSES = IndexedPassage("r", "Roses", "Roses are cut in early spring, above an outer bud.", "garden.md", {"year": 2020})
DOUGH = IndexedPassage("d", "Baking", "Bread dough rests for an hour before it is baked.", "kitchen.txt")
TIDE = IndexedPassage("t", "", "The tide turns twice a day.", "sea.txt")


@pytest.fixture(scope="module")
def encoder(minilm_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(minilm_directory)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "index.sqlite"


def numbered(start: int, stop: int) -> list[IndexedPassage]:
    return [IndexedPassage(str(n), f"title {n}", f"the text of number {n}", "made") for n in range(start, stop)]


def ids(index: PassageIndex) -> set[str]:
    return {hit.passage.id for hit in index.search("the text", top_k=10_000)}


def test_a_question_finds_the_passage_that_answers_it(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        assert index.search("When should I prune roses?") == []
        index.add([DOUGH, ROSES, TIDE])
        first, second = index.search("When should I prune roses?", top_k=2, mode="dense")
    assert first.passage == ROSES
    assert first.score > second.score
    [query], [passage] = (
        encoder.encode_queries(["When should I prune roses?"]),
        encoder.encode_passages([(ROSES.title, ROSES.text)]),
    )
    assert first.score == pytest.approx(float(query @ passage), abs=1e-6)


def test_what_was_added_is_found_by_the_next_process(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        index.add([DOUGH, ROSES])
        before = index.search("How long does dough rest?")
    with PassageIndex(path, encoder) as index:
        assert len(index) == 2
        assert index.search("How long does dough rest?") == before


def test_create_begins_an_index_and_open_needs_one(path: Path, pair: DualEncoder) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.sqlite does not exist; expected an index: create\(\)"):
        PassageIndex.open(path, pair)
    with PassageIndex.create(path, pair) as index:
        index.add([DOUGH])
    with pytest.raises(FileExistsError, match=r"index\.sqlite exists; expected the path of a new file: open\(\)"):
        PassageIndex.create(path, pair)
    with PassageIndex.open(path, pair) as index:
        assert (index.get("d"), index.get("r"), index.ids()) == (DOUGH, None, ["d"])


# Modes


@pytest.mark.parametrize(("model", "cosine"), [("encoder", True), ("pair", False)])
def test_a_blend_is_made_of_the_best_by_vector_and_by_words(
    path: Path, model: str, cosine: bool, request: pytest.FixtureRequest
) -> None:
    """The pair's vectors have any length, and are compared by the dot product."""
    question = "How long does the dough rest, and when does the tide turn?"
    with PassageIndex(path, request.getfixturevalue(model)) as index:
        index.add([DOUGH, ROSES, TIDE, *numbered(0, 150)])
        dense = index.search(question, LIST_LENGTH, mode="dense")
        sparse = index.search(question, LIST_LENGTH, mode="bm25")
        hits = index.search(question, 5)
        number = {id: position for position, id in enumerate(index.ids())}
    assert {hit.passage.id for hit in sparse} == {"d", "t"}
    lists = [
        RankedList([number[hit.passage.id] for hit in found], [hit.score for hit in found]) for found in (dense, sparse)
    ]
    expected = blend(*lists, 5, depth=LIST_LENGTH, cosine=cosine)
    assert [number[hit.passage.id] for hit in hits] == list(expected.ids)
    assert [hit.score for hit in hits] == list(expected.scores)


def test_every_hit_says_why(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        index.add([DOUGH, ROSES, TIDE])
        first, *others = index.search("Does Dough REST?")
        [dense, *_] = index.search("Does dough rest?", mode="dense")
        [sparse] = index.search("Does dough rest?", mode="bm25")
    assert first.passage == dense.passage == sparse.passage == DOUGH
    assert first.words == dense.words == sparse.words == ["dough"]
    assert first.placement == Placement(1, dense.score, 1, sparse.score)
    assert dense.placement == Placement(1, dense.score, None, None)
    assert sparse.placement == Placement(None, None, 1, sparse.score)
    assert [(hit.placement.bm25_rank, hit.words) for hit in others] == [(None, []), (None, [])]


@pytest.mark.parametrize("question", ["", "is it the", "zyzzyva"])
def test_a_question_without_known_words_is_answered_by_vectors(path: Path, pair: DualEncoder, question: str) -> None:
    with PassageIndex(path, pair) as index:
        index.add([DOUGH, TIDE])
        assert index.search(question, mode="bm25") == []
        assert [hit.passage for hit in index.search(question)] == [
            hit.passage for hit in index.search(question, mode="dense")
        ]


def test_an_unknown_mode_is_refused(path: Path, pair: DualEncoder) -> None:
    with PassageIndex(path, pair) as index, pytest.raises(ValueError, match="mode is 'sparse'; expected blend, dense,"):
        index.search("text", mode="sparse")  # type: ignore[arg-type]


# Adding and deleting


def test_passages_are_replaced_and_deleted_by_id(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        index.add([DOUGH, ROSES])
        changed = IndexedPassage("d", "Sailing", "A ship leaves the harbour at high tide.")
        index.update([changed, TIDE])
        assert len(index) == 3
        assert {hit.passage for hit in index.search("tide", top_k=2) if not hit.passage.metadata} == {changed, TIDE}
        with pytest.raises(TypeError, match="ids is 'd'; expected a list of ids"):
            index.delete("d")
        with pytest.raises(TypeError, match="an id is 1; expected str"):
            index.delete([1])  # type: ignore[list-item]
        assert index.delete(["d", "r", "unknown"]) == 2
        assert [hit.passage for hit in index.search("tide")] == [TIDE]
        assert "t" in index
        assert "d" not in index


def test_an_id_that_is_taken_is_refused_before_anything_is_encoded(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        index.add([DOUGH])
        with pytest.raises(ValueError, match=r"holds 'd' already; expected new ids, or update\(\)"):
            index.add([ROSES, DOUGH])
        assert len(index) == 1
        with pytest.raises(ValueError, match="two passages have the id 'd'"):
            index.update([DOUGH, IndexedPassage("d", "other", "text")])
        with pytest.raises(TypeError, match="found str; expected IndexedPassage"):
            index.add(["a text"])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="found an IndexedPassage; expected a list of them"):
            index.add(TIDE)  # type: ignore[arg-type]


def test_a_model_s_name_is_no_encoder(path: Path) -> None:
    with pytest.raises(TypeError, match="encoder is 'bundled'; expected a DualEncoder"):
        PassageIndex(path, "bundled")  # type: ignore[arg-type]
    assert not path.exists()


def test_an_index_follows_its_texts(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        assert index.synchronize([ROSES, DOUGH]) == Changes(added=2, deleted=0)
        assert index.synchronize([ROSES, TIDE]) == Changes(added=1, deleted=1)
        assert index.synchronize([ROSES, TIDE]) == Changes(added=0, deleted=0)
        assert ids(index) == {"r", "t"}


def test_sources_that_have_not_changed_need_not_be_read(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        stamps = {"garden.md": "1", "kitchen.txt": "1"}
        assert index.changed_sources(stamps) == {"garden.md", "kitchen.txt"}
        index.synchronize([ROSES, DOUGH], stamps=stamps)
        assert index.changed_sources(stamps) == set()
    with PassageIndex(path, encoder) as index:
        stamps = {"garden.md": "1", "sea.txt": ""}
        assert index.changed_sources(stamps) == {"kitchen.txt", "sea.txt"}, "one is gone, one is new"
        assert index.synchronize([TIDE], unchanged={"garden.md"}, stamps=stamps) == Changes(added=1, deleted=1)
        assert ids(index) == {"r", "t"}
        assert index.changed_sources(stamps) == {"sea.txt"}, "an empty stamp says nothing"


@settings(max_examples=25)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "update", "delete"]), st.integers(0, 700), st.integers(1, 400)), max_size=6
    )
)
def test_the_index_holds_what_a_dictionary_would(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory, pair: DualEncoder
) -> None:
    held: dict[str, IndexedPassage] = {}
    with PassageIndex(tmp_path_factory.mktemp("index") / "i", pair) as index, BM25Index() as words:
        for round, (action, start, count) in enumerate(steps):
            passages = [IndexedPassage(str(n), "", f"text {n} of round {round}") for n in range(start, start + count)]
            if action == "delete":
                assert index.delete(p.id for p in passages) == sum(p.id in held for p in passages)
                words.delete(p.id for p in passages)
                held = {id: p for id, p in held.items() if id not in {p.id for p in passages}}
            elif action == "update":
                index.update(passages)
                words.add([p.id for p in passages], [p.text for p in passages])
                held = {id: p for id, p in held.items() if id not in {p.id for p in passages}}
                held |= {p.id: p for p in passages}
            else:
                new = [p for p in passages if p.id not in held]
                index.add(new)
                words.add([p.id for p in new], [p.text for p in new])
                held |= {p.id: p for p in new}
        assert len(index) == len(held)
        assert index.ids() == words.ids() == list(held)
        question = "text of round 3 or 17"
        by_words = index.search(question, 2000, mode="bm25")
        expected_words = words.search(question, 2000)
        assert [hit.passage.id for hit in by_words] == expected_words.ids
        assert [hit.score for hit in by_words] == list(expected_words.scores)
        hits = index.search("text", top_k=2000, mode="dense")
    assert {hit.passage.id: hit.passage for hit in hits} == held
    if held:
        expected = pair.encode_passages([("", hit.passage.text) for hit in hits]) @ pair.encode_queries(["text"])[0]
        np.testing.assert_allclose([hit.score for hit in hits], expected, rtol=1e-5, atol=1e-4)


def test_equal_scores_come_in_the_order_of_adding(path: Path, encoder: DualEncoder) -> None:
    """Also in the last rows of a matrix, which BLAS rounds differently."""
    with PassageIndex(path, encoder) as index:
        index.add(IndexedPassage(f"{n:03}", "", "the same text") for n in range(703))
        for mode in get_args(SearchMode):
            hits = index.search("text", 703, mode=mode)
            assert [hit.passage.id for hit in hits] == [f"{n:03}" for n in range(703)], mode
            assert len({hit.score for hit in hits}) == 1, mode


def test_cosine_models_are_ranked_by_the_cosine(path: Path, pair_directory: Path) -> None:
    dot = DualEncoder.from_pretrained(pair_directory)
    cosine = DualEncoder.from_pretrained(pair_directory)
    cosine.query_encoder.similarity = cosine.passage_encoder.similarity = "cosine"
    with PassageIndex(path, cosine) as index:
        index.add(numbered(0, 5))
        hits = index.search("the text", top_k=5, mode="dense")
    [query], passages = (
        dot.encode_queries(["the text"]),
        dot.encode_passages([(hit.passage.title, hit.passage.text) for hit in hits]),
    )
    expected = passages @ query / np.linalg.norm(passages, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose([hit.score for hit in hits], expected, atol=1e-5)


@pytest.mark.parametrize(("top_k", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_top_k_is_at_least_one(path: Path, pair: DualEncoder, top_k: int, error: type[Exception]) -> None:
    with PassageIndex(path, pair) as index, pytest.raises(error, match=f"top_k is {top_k}; expected"):
        index.search("a question", top_k=top_k)
