"""Updates: by several machines, in bounded memory, of inconsistent folders, and on a full disk."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from shard_folders import FEW, contents, encode, record, records, write

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.corpus import CorpusFolderError, CorpusRow, ShardFolder, drafts
from dpr_tiny_retriever.corpus.former_vectors import FormerVectors
from dpr_tiny_retriever.corpus.rows import content_digest


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_machines_that_share_an_update_make_the_folder_of_one(
    tmp_path: Path, encoder: Encoder, order: tuple[int, int]
) -> None:
    path = write(tmp_path / "corpus.jsonl", records(17))
    encode(path, tmp_path / "shards", encoder)
    before = contents(tmp_path / "shards")
    changed = records(18)
    changed[2], changed[6] = record(2, "changed in the first shard"), record(6, "changed in the second shard")
    write(path, changed)
    first = encode(path, tmp_path / "shards", encoder, share=(order[0], 2))
    assert not first.manifest.is_complete
    assert contents(tmp_path / "shards") == before, "until all of it is there, the folder is the former one"
    second = encode(path, tmp_path / "shards", encoder, share=(order[1], 2))
    assert second.manifest.is_complete
    assert first.encoded + second.encoded == 3
    encode(path, tmp_path / "fresh", encoder)
    assert contents(tmp_path / "shards") == contents(tmp_path / "fresh")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_known_vectors_do_not_pile_up_where_few_texts_are_new(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "MOST_KNOWN", FEW)
    path = write(tmp_path / "corpus.jsonl", records(40))
    encode(path, tmp_path / "shards", encoder)
    table = FormerVectors(ShardFolder(tmp_path / "shards"), tmp_path / "former.sqlite")
    rows = (CorpusRow(each["id"], each["title"] or "", each["text"], {}) for each in [record(99), *records(40)])
    drafter = drafts.Drafter(rows, FEW, 0, (1, 1), {}, True, (), table, False, None)
    texts, most = [], 0
    while not drafter.is_finished:
        texts += list(drafter.texts())
        most = max(most, sum(len(draft.known) for draft in drafter.ready))
        drafter.ready.clear()
    table.close()
    assert texts == [("title", "text 99 of the river")]
    assert FEW <= most < 2 * FEW


def test_a_vector_that_is_found_does_not_hold_its_shard(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    table = FormerVectors(ShardFolder(tmp_path / "shards"), tmp_path / "former.sqlite")
    found = table.find(["d0", "d9"], [content_digest("", "text 0 of the river"), b""])
    table.close()
    assert list(found) == [0]
    assert found[0].base is None


def test_shards_of_an_unknown_job_are_not_taken_for_those_of_this(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    (tmp_path / "shards" / "manifest.json").unlink()
    before = contents(tmp_path / "shards")
    with pytest.raises(CorpusFolderError, match=r"holds shards without manifest\.json, .*; expected another folder"):
        encode(path, tmp_path / "shards", encoder.with_max_length(9), share=(1, 2))
    assert contents(tmp_path / "shards") == before


def test_what_an_update_has_left_is_removed_by_the_next_run(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "corpus.jsonl", records())
    encode(path, tmp_path / "shards", encoder)
    (tmp_path / ".shards.update").mkdir()
    (tmp_path / ".shards.update" / "part-00000.json").write_text("{}")
    encode(path, tmp_path / "shards", encoder)
    assert not (tmp_path / ".shards.update").exists()


@pytest.mark.linux
def test_a_full_disk_costs_the_shard_that_did_not_fit(tmp_path: Path, encoder: Encoder) -> None:
    """A limit on the size of files stands in for the disk: the write fails in the middle in the same way."""
    import resource  # Windows has none

    lengths = itertools.chain([1] * FEW, itertools.repeat(2000))
    found = [record(number) | {"more": "x" * length} for number, length in zip(range(10), lengths, strict=False)]
    path = write(tmp_path / "corpus.jsonl", found)
    encode(path, tmp_path / "undisturbed", encoder, keep=["more"])
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, former[1]))
    try:
        with pytest.raises(OSError, match=r"part-00001\.rows\.jsonl"):
            encode(path, tmp_path / "shards", encoder, keep=["more"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert [shard.number for shard in ShardFolder(tmp_path / "shards").manifest.shards] == [0]
    assert encode(path, tmp_path / "shards", encoder, keep=["more"]).encoded == 6
    assert contents(tmp_path / "shards") == contents(tmp_path / "undisturbed")
