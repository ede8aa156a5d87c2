"""An index of passages on disk, with a model that ranks sensibly, and with real kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folders import write_pair

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import Changes, PassageIndex

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
        first, second = index.search("When should I prune roses?", top_k=2)
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


def test_passages_are_replaced_and_deleted_by_id(path: Path, encoder: DualEncoder) -> None:
    with PassageIndex(path, encoder) as index:
        index.add([DOUGH, ROSES])
        changed = IndexedPassage("d", "Sailing", "A ship leaves the harbour at high tide.")
        index.update([changed, TIDE])
        assert len(index) == 3
        assert {hit.passage for hit in index.search("tide", top_k=2) if not hit.passage.metadata} == {changed, TIDE}
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
    with PassageIndex(tmp_path_factory.mktemp("index") / "i", pair) as index:
        for round, (action, start, count) in enumerate(steps):
            passages = [IndexedPassage(str(n), "", f"text {n} of round {round}") for n in range(start, start + count)]
            if action == "delete":
                assert index.delete(p.id for p in passages) == sum(p.id in held for p in passages)
                held = {id: p for id, p in held.items() if id not in {p.id for p in passages}}
            elif action == "update":
                index.update(passages)
                held |= {p.id: p for p in passages}
            else:
                new = [p for p in passages if p.id not in held]
                index.add(new)
                held |= {p.id: p for p in new}
        assert len(index) == len(held)
        hits = index.search("text", top_k=2000)
    assert {hit.passage.id: hit.passage for hit in hits} == held
    if held:
        expected = pair.encode_passages([("", hit.passage.text) for hit in hits]) @ pair.encode_queries(["text"])[0]
        np.testing.assert_allclose([hit.score for hit in hits], expected, rtol=1e-5, atol=1e-4)


def test_equal_scores_come_in_the_order_of_adding(path: Path, pair: DualEncoder) -> None:
    with PassageIndex(path, pair) as index:
        index.add(IndexedPassage(f"{n:03}", "", "the same text") for n in range(20))
        assert [hit.passage.id for hit in index.search("text", top_k=3)] == ["000", "001", "002"]


def test_cosine_models_are_ranked_by_the_cosine(path: Path, pair_directory: Path) -> None:
    dot = DualEncoder.from_pretrained(pair_directory)
    cosine = DualEncoder.from_pretrained(pair_directory)
    cosine.query_encoder.similarity = cosine.passage_encoder.similarity = "cosine"
    with PassageIndex(path, cosine) as index:
        index.add(numbered(0, 5))
        hits = index.search("the text", top_k=5)
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


# Files


def test_another_model_is_refused_with_a_remedy(path: Path, pair: DualEncoder, tmp_path: Path) -> None:
    other = DualEncoder.from_pretrained(write_pair(tmp_path / "other", seed=5))
    with PassageIndex(path, pair, model_name="first") as index:
        index.add(numbered(0, 3))
    remedy = r"model 'first' .*; expected those of 'second' .*: open it with the model that made it, or name another"
    with pytest.raises(UnusableIndexError, match=remedy):
        PassageIndex(path, other, model_name="second")
    with PassageIndex(path, pair) as index:
        assert len(index) == 3


def open_and_search(path: Path, pair: DualEncoder) -> set[str]:
    with PassageIndex(path, pair) as index:
        return ids(index)


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


def test_an_index_of_another_version_is_named(path: Path, pair: DualEncoder) -> None:
    PassageIndex(path, pair).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE info SET value = 99 WHERE key = 'format'")
    connection.close()
    with pytest.raises(UnusableIndexError, match="an index of format 99, made by another version"):
        PassageIndex(path, pair)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path, pair: DualEncoder) -> None:
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE visits (address TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UnusableIndexError, match="a database of another program"):
        PassageIndex(path, pair)
    assert path.read_bytes() == before
    with pytest.raises(IsADirectoryError, match="is a folder; expected the path of an index file"):
        PassageIndex(tmp_path, pair)


def test_an_index_in_a_folder_that_cannot_be_written_to_is_searched(
    path: Path, pair: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PassageIndex(path, pair) as index:
        index.add(numbered(0, 3))
    monkeypatch.setattr("os.access", lambda place, mode: False)
    with PassageIndex(path, pair) as index:
        assert ids(index) == {"0", "1", "2"}
        with pytest.raises(OSError, match=r"index\.sqlite: attempt to write a readonly database"):
            index.add(numbered(3, 4))
    assert sorted(file.name for file in path.parent.iterdir()) == ["index.sqlite"]


def test_a_closed_index_says_so(path: Path, pair: DualEncoder) -> None:
    index = PassageIndex(path, pair)
    index.close()
    with pytest.raises(ValueError, match=r"index\.sqlite is closed; open it again"):
        index.search("text")


# Several processes and threads


def test_a_reader_sees_what_another_connection_writes(path: Path, pair: DualEncoder) -> None:
    with PassageIndex(path, pair) as reader, PassageIndex(path, pair) as writer:
        writer.add(numbered(0, 3))
        assert ids(reader) == {"0", "1", "2"}
        writer.delete(["1"])
        writer.add(numbered(7, 8))
        assert ids(reader) == {"0", "2", "7"}


def test_readers_go_on_while_one_writes(path: Path, pair: DualEncoder) -> None:
    """Every search sees whole transactions: each writes 100 passages and takes 100 away."""
    with PassageIndex(path, pair) as index:
        index.add(numbered(0, 100))
    done = threading.Event()
    seen: list[int] = []
    failures: list[BaseException] = []

    def read() -> None:
        try:
            with PassageIndex(path, pair) as reader:
                while not done.is_set():
                    seen.append(len(reader.search("the text", top_k=1000)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    with PassageIndex(path, pair) as writer:
        for round in range(10):
            writer.update(IndexedPassage(str(n), "", f"the text in round {round}") for n in range(100))
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(seen) == {100}


def test_threads_share_an_index(path: Path, pair: DualEncoder) -> None:
    with PassageIndex(path, pair) as index:
        index.add(numbered(0, 50))
        found: list[set[str]] = []
        threads = [threading.Thread(target=lambda: found.append(ids(index))) for _ in range(8)]
        for thread in threads:
            thread.start()
        index.add(numbered(50, 60))
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert {len(one) for one in found} <= {50, 60}


#: Adds passages to the index argv[2] with the pair argv[1], ten a step, and reports every step that is done.
WRITER = """
import os, signal, sys
from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

index = PassageIndex(sys.argv[2], DualEncoder.from_pretrained(sys.argv[1]))
for start in range(0, 10_000, 10):
    index.add([IndexedPassage(str(n), "", f"text {n}") for n in range(start, start + 10)])
    print(start + 10, flush=True)
"""


@pytest.mark.parametrize("milliseconds", [0, 3, 10, 31, 100])
def test_a_kill_at_any_moment_loses_nothing_that_was_reported(
    path: Path, pair: DualEncoder, pair_directory: Path, milliseconds: int
) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(pair_directory), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    reported = [int(writer.stdout.readline())]
    threading.Event().wait(milliseconds / 1000)
    os.kill(writer.pid, signal.SIGKILL)
    reported += [int(line) for line in writer.stdout]
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    with PassageIndex(path, pair) as index:
        held = ids(index)
        assert {str(n) for n in range(reported[-1])} <= held
        assert len(held) == len(index)
        assert len(held) % 10 == 0, "a step is there wholly or not at all"
        expected = {str(n) for n in range(len(held))}
        assert held == expected
        changes = index.synchronize(IndexedPassage(str(n), "", f"text {n}") for n in range(len(held) + 5))
        assert changes == Changes(added=5, deleted=0), "what was stored is not encoded again"


def test_a_kill_while_the_file_is_being_made_leaves_one_that_can_be_used(
    path: Path, pair: DualEncoder, pair_directory: Path
) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(pair_directory), str(path)], stdout=subprocess.DEVNULL)
    while not path.exists() and writer.poll() is None:
        pass
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    with PassageIndex(path, pair) as index:
        index.update(numbered(0, 5))
        assert ids(index) >= {"0", "1", "2", "3", "4"}


def test_two_processes_fill_one_index(path: Path, pair: DualEncoder, pair_directory: Path) -> None:
    program = WRITER.replace("index.add(", "index.update(").replace("10_000", "300")
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(pair_directory), str(path)], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    with PassageIndex(path, pair) as index:
        assert len(index) == len(ids(index)) == 300
