"""What a killed run loses, how it goes on, and how folders of shards follow their inputs."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from shard_folders import FEW, contents, encode, record, records, write

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.corpus import (
    EncodedCorpus,
    ShardFolder,
    ShardOptions,
    Sources,
    encode_corpus,
)
from dpr_tiny_retriever.corpus.encoding import DELETED

KILLED = """
import os, signal, sys
import numpy
from pathlib import Path
from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.corpus import encoding, shard_maker
from dpr_tiny_retriever.corpus.sources import Sources

source, output, model, moment, number = sys.argv[1:]
written = 0

def killed(module, name, before):
    real = getattr(module, name)
    def call(*arguments):
        global written
        written += 1
        if written < int(number):
            return real(*arguments)
        if not before:
            real(*arguments)
        if moment == "within":
            numpy.lib.format.write_array = half
            real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, call)

def half(file, array, **options):
    file.write(array.tobytes()[:100])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

killed(encoding if moment == "start" else shard_maker,
       "write_manifest" if moment == "start" else "write_shard_record" if moment == "record" else "write_rows",
       before=moment != "after")
encoder = Encoder.from_pretrained(model, side="passage")
options = encoding.ShardOptions(rows_per_shard=4, format="npy")
encoding.encode_corpus(Sources([source]), Path(output), encoder, options)
"""


@pytest.mark.linux
@pytest.mark.parametrize(("moment", "number", "left"), [("start", 1, 10), ("within", 2, 6), ("record", 2, 6)])
def test_a_killed_run_loses_one_shard_at_most_and_gives_the_same_bytes(
    tmp_path: Path, pair_directory: Path, encoder: Encoder, moment: str, number: int, left: int
) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "undisturbed", encoder)
    arguments = [path, tmp_path / "shards", pair_directory, moment, str(number)]
    # Not in the checkout, whose package would be imported: it may lack the native backend, which gives other bytes.
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert encode(path, tmp_path / "shards", encoder).encoded == left
    assert contents(tmp_path / "shards") == contents(tmp_path / "undisturbed")


def test_a_run_that_was_killed_before_its_last_line_reads_the_end_only(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    before = contents(tmp_path / "shards")
    manifest = tmp_path / "shards" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"num_rows": 10', '"num_rows": null'))
    assert encode(path, tmp_path / "shards", encoder).encoded == 0
    assert contents(tmp_path / "shards") == before


def test_a_finished_folder_is_not_read_again(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    stamps = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "shards").glob("part-*")}
    assert encode(path, tmp_path / "shards", encoder).encoded == 0
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "shards").glob("part-*")} == stamps


def test_machines_that_share_the_shards_make_the_folder_of_one(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records(17))
    encode(path, tmp_path / "one", encoder)
    first = encode(path, tmp_path / "two", encoder, share=(2, 2))
    assert (first.encoded, first.manifest.missing) == (8, [0, 2, 4])
    assert ShardFolder(tmp_path / "two").problems()[0] == "part-00000 is missing; run the same command again"
    second = encode(path, tmp_path / "two", encoder, share=(1, 2))
    assert (second.encoded, second.manifest.is_complete) == (9, True)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_changed_inputs_give_a_fresh_folder_and_encode_only_what_is_new(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder, keep=["text"])
    changed = [record(99), *[each for each in records() if each["id"] not in ("d2", "d7")], record(12)]
    changed[4] = record(4, "another text")
    write(path, changed)
    done = encode(path, tmp_path / "shards", encoder, keep=["text"])
    assert (done.encoded, done.copied, done.deleted) == (3, 7, 2)
    encode(path, tmp_path / "fresh", encoder, keep=["text"])
    assert contents(tmp_path / "shards") == contents(tmp_path / "fresh")
    assert (tmp_path / "shards" / DELETED).read_text().split() == ["d2", "d7"]
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_rows_at_the_end_leave_all_full_shards_as_they_are(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    stamps = [(tmp_path / "shards" / f"part-0000{number}.npy").stat().st_mtime_ns for number in (0, 1)]
    write(path, records(11))
    assert encode(path, tmp_path / "shards", encoder).encoded == 1
    assert [(tmp_path / "shards" / f"part-0000{number}.npy").stat().st_mtime_ns for number in (0, 1)] == stamps
    write(path, records(3))
    shorter = encode(path, tmp_path / "shards", encoder)
    assert (shorter.encoded, shorter.deleted, len(shorter.manifest.shards)) == (0, 8, 1)
    encode(path, tmp_path / "fresh", encoder)
    assert contents(tmp_path / "shards") == contents(tmp_path / "fresh")


def test_an_update_that_was_stopped_leaves_the_folder_and_goes_on(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    before = contents(tmp_path / "shards")
    write(path, [record(number + 50) for number in range(10)])
    counted = 0

    def stop(encoded: int, expected: int | None) -> None:
        nonlocal counted
        counted = encoded
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus(
            Sources([path]), tmp_path / "shards", encoder, ShardOptions(rows_per_shard=FEW, format="npy"), progress=stop
        )
    assert counted
    assert contents(tmp_path / "shards") == before
    assert encode(path, tmp_path / "shards", encoder).manifest.is_complete
    encode(path, tmp_path / "fresh", encoder)
    assert contents(tmp_path / "shards") == contents(tmp_path / "fresh")


@pytest.mark.linux
def test_a_pipe_goes_on_where_it_was(tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "".join(json.dumps(each) + "\n" for each in records()).encode()

    def run(output: Path) -> EncodedCorpus:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return encode_corpus(Sources(["-"]), output, encoder, ShardOptions(rows_per_shard=FEW, format="npy"))

    run(tmp_path / "shards")
    undisturbed = contents(tmp_path / "shards")
    (tmp_path / "shards" / "part-00001.json").unlink()
    manifest = tmp_path / "shards" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"num_rows": 10', '"num_rows": null'))
    assert run(tmp_path / "shards").encoded == 4
    assert contents(tmp_path / "shards") == undisturbed
    assert run(tmp_path / "shards").encoded == 0  # finished: an update without changes
    assert contents(tmp_path / "shards") == undisturbed
