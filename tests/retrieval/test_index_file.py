"""The file of a passage index: damage, other models and versions, several readers, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from model_folders import write_pair

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.errors import UnusableIndexError
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
from dpr_tiny_retriever.retrieval.passage_index import Changes, PassageIndex

ROSES = IndexedPassage("r", "Roses", "Roses are cut in early spring, above an outer bud.", "garden.md")
DOUGH = IndexedPassage("d", "Baking", "Bread dough rests for an hour before it is baked.", "kitchen.txt")
TIDE = IndexedPassage("t", "", "The tide turns twice a day.", "sea.txt")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "index.sqlite"


def numbered(start: int, stop: int) -> list[IndexedPassage]:
    return [IndexedPassage(str(n), f"title {n}", f"the text of number {n}", "made") for n in range(start, stop)]


def ids(index: PassageIndex) -> set[str]:
    return {hit.passage.id for hit in index.search("the text", top_k=10_000, mode="dense")}


def test_another_model_is_refused_with_a_remedy(path: Path, pair: DualEncoder, tmp_path: Path) -> None:
    other = DualEncoder.from_pretrained(write_pair(tmp_path / "other", seed=5))
    with PassageIndex(path, pair, model_name="first") as index:
        index.add(numbered(0, 3))
    remedy = r"model 'first' .*; expected those of 'second' .*: open it with the model that made it, or name another"
    with pytest.raises(UnusableIndexError, match=remedy):
        PassageIndex(path, other, model_name="second")
    with PassageIndex(path, pair) as index:
        assert len(index) == 3


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


@pytest.mark.posix
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
        by_words = {hit.passage.id for hit in index.search("text", 10_000, mode="bm25")}
        assert by_words == expected, "vectors and words agree"
        changes = index.synchronize(IndexedPassage(str(n), "", f"text {n}") for n in range(len(held) + 5))
        assert changes == Changes(added=5, deleted=0), "what was stored is not encoded again"


#: Replaces passages 0 to 29 round after round, then deletes ten of them.
REPLACER = """
import sys
from dpr_tiny_retriever import DualEncoder, IndexedPassage, PassageIndex

index = PassageIndex(sys.argv[2], DualEncoder.from_pretrained(sys.argv[1]))
for round in range(10_000):
    index.update([IndexedPassage(str(n), "", f"text in round{round}", "", {"round": round}) for n in range(30)])
    index.delete(str(n) for n in range(10))
    print(round, flush=True)
"""


@pytest.mark.posix
@pytest.mark.parametrize("milliseconds", [5, 60])
def test_a_kill_leaves_passages_vectors_words_and_labels_that_agree(
    path: Path, pair: DualEncoder, pair_directory: Path, milliseconds: int
) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", REPLACER, str(pair_directory), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    reported = [int(writer.stdout.readline())]
    threading.Event().wait(milliseconds / 1000)
    os.kill(writer.pid, signal.SIGKILL)
    reported += [int(line) for line in writer.stdout]
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    with PassageIndex(path, pair) as index:
        held = {id: index.get(id) for id in index.ids()}
        [round] = {passage.metadata["round"] for passage in held.values() if passage is not None}
        assert round >= reported[-1]
        assert held.keys() in ({str(n) for n in range(30)}, {str(n) for n in range(10, 30)})
        asked = [("text", "dense", None), ("text", "bm25", None), (f"round{round}", "bm25", None)]
        for question, mode, where in [*asked, ("text", "bm25", {"round": round})]:
            hits = index.search(question, 100, mode=mode, where=where)  # type: ignore[arg-type]
            assert {hit.passage.id: hit.passage for hit in hits} == held, (question, mode, where)
        assert index.search(f"round{round - 1}", mode="bm25") == []


@pytest.mark.posix
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
