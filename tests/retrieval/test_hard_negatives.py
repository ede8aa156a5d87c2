"""Which passages become hard negatives."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dpr_tiny_retriever import DualEncoder, Passage
from dpr_tiny_retriever.retrieval.retrievers import BM25
from dpr_tiny_retriever.training import Example, Mining, SkippedRecords, mine_bm25, mine_dense, read_corpus

pytestmark = pytest.mark.training

RIGHT = Passage("Tower", "the tower of the river city stands since 1889")
CORPUS = [
    Passage("Tower", "a tower of the river city"),
    Passage("River", "the river city has no tower from 1889"),
    RIGHT,
    Passage("City", "a city"),
    Passage(None, "nothing in common"),
]
EXAMPLE = Example("tower river city", (RIGHT,), (Passage(None, "given"),), ("1889",))


def mined(mining: Mining) -> tuple[Passage, ...]:
    (found,) = mine_bm25([EXAMPLE], CORPUS, mining)
    assert (found.question, found.positives, found.answers) == (EXAMPLE.question, EXAMPLE.positives, EXAMPLE.answers)
    return found.hard_negatives


def test_the_best_ranked_passages_that_are_no_positives_are_taken() -> None:
    assert mined(Mining(count=2, exclude_answers=False)) == (CORPUS[0], CORPUS[1])


def test_passages_that_hold_an_answer_are_left_out() -> None:
    assert mined(Mining(count=2)) == (CORPUS[0], CORPUS[3])


def test_only_the_ranks_asked_for_are_taken() -> None:
    assert mined(Mining(ranks=(2, 2), exclude_answers=False)) == (CORPUS[1],)


def test_passages_within_the_margin_of_the_positive_are_left_out() -> None:
    everything = mined(Mining(exclude_answers=False))
    farther = mined(Mining(margin=0.3, exclude_answers=False))
    assert len(farther) < len(everything)
    assert set(farther) < set(everything)
    assert mined(Mining(margin=1e6, exclude_answers=False)) == ()


def test_given_hard_negatives_are_replaced_or_kept() -> None:
    assert Passage(None, "given") not in mined(Mining())
    assert mined(Mining(keep=True))[0] == Passage(None, "given")


def test_a_passage_without_a_word_in_common_is_not_taken() -> None:
    assert CORPUS[4] not in mined(Mining(exclude_answers=False))


def test_an_answer_without_words_excludes_nothing() -> None:
    (found,) = mine_bm25([dataclasses.replace(EXAMPLE, answers=("", " "))], CORPUS, Mining())
    assert found.hard_negatives == mined(Mining(exclude_answers=False))


def test_a_corpus_is_indexed_once_for_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, rank = [], BM25.rank
    monkeypatch.setattr(BM25, "rank", lambda *arguments: calls.append(1) or rank(*arguments))
    assert len(list(mine_bm25([EXAMPLE] * 1500, CORPUS))) == 1500
    assert len(calls) == 1
    assert list(mine_bm25([], CORPUS)) == []


def test_a_positive_is_ranked_also_where_the_corpus_lacks_it() -> None:
    found = list(mine_bm25([EXAMPLE], [CORPUS[0]], Mining(margin=0.0)))
    assert found[0].hard_negatives in ((), (CORPUS[0],))
    assert RIGHT not in found[0].hard_negatives


def test_a_pair_takes_the_passages_nearest_to_its_query_vector(small_pair: DualEncoder) -> None:
    (found,) = mine_dense([EXAMPLE], CORPUS, small_pair, Mining(count=4, exclude_answers=False))
    others = [passage for passage in CORPUS if passage != RIGHT]
    scores = small_pair.encode_passages(others) @ small_pair.encode_queries([EXAMPLE.question])[0]
    assert found.hard_negatives == tuple(others[at] for at in (-scores).argsort())


def test_a_corpus_is_read_from_beir_and_dpr_files(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "a", "title": "A", "text": "x"}) + "\n")
    (tmp_path / "psgs.tsv").write_text("id\ttext\ttitle\n1\ty\tB\n")
    corpus = read_corpus([tmp_path / "corpus.jsonl", tmp_path / "psgs.tsv"])
    assert list(corpus) == [Passage("A", "x"), Passage("B", "y")]
    (tmp_path / "psgs.tsv").write_text("id\ttext\ttitle\n1\ty\tB\n2\tz\n")
    skipped = SkippedRecords()
    assert list(read_corpus([tmp_path / "psgs.tsv"], skipped=skipped)) == [Passage("B", "y")]
    assert skipped.count == 1


@pytest.mark.parametrize(("ranks", "count"), [((0, 3), 1), ((3, 2), 1), ((1, 2), 0)])
def test_ranks_and_counts_that_cannot_work_are_refused(ranks: tuple[int, int], count: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        Mining(ranks=ranks, count=count)
