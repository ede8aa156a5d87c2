"""Mutated files of data: every reader reads them, or names the file and what is wrong with it."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import shard_folders
from campaign import corpus
from campaign.mutations import edited, json_bytes, random_edits, random_json
from campaign.texts import encoder
from retrieval_data import context, dpr_record, json_lines, write_library
from training_data import records

from dpr_tiny_retriever import IndexedPassage, PassageIndex
from dpr_tiny_retriever.corpus import ShardFolder, Sources
from dpr_tiny_retriever.data.beir import read_beir
from dpr_tiny_retriever.data.dpr_json import read_dpr_dev
from dpr_tiny_retriever.data.examples import read_examples
from dpr_tiny_retriever.data.load_dataset import load_dataset
from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.data.text_files import Unreadable, find_text_files, read_text_files
from dpr_tiny_retriever.data.text_passages import split
from dpr_tiny_retriever.retrieval.index_file import INDEX_FILE_SUFFIXES
from dpr_tiny_retriever.types import SearchMode

TSV = "id\ttext\ttitle\n" + "".join(
    f'{number}\t"the river ""{number}"" of the city"\tA river\n' for number in range(20)
)
MARKDOWN = "# Roses\n\nRoses are cut.\n\n## In `spring`\n\n```\n# no heading\n```\n\nTitle\n=====\n\n" + "- one\n" * 30
HTML = (
    "<!doctype html><html><head><title>Roses</title><script>x</script></head><body><h1>In spring</h1><p>cut &amp; bound"
)
RST = "Roses\n=====\n\nThey are cut.\n\nIn spring\n---------\n\n.. code::\n\n   x\n\nand bound.\n"


def _dpr(folder: Path) -> None:
    list(read_examples(folder / "dpr.json", skipped=SkippedRecords()))
    read_dpr_dev(folder / "dpr.json", skipped=SkippedRecords())


def _lines(folder: Path) -> None:
    list(read_examples(folder / "dpr.jsonl", skipped=SkippedRecords()))


def _beir(folder: Path) -> None:
    read_beir(folder / "beir", skipped=SkippedRecords())
    list(read_examples(folder / "beir", split="test", skipped=SkippedRecords()))


def _answers(folder: Path) -> None:
    load_dataset(folder / "psgs.tsv", protocol="answers", questions=folder / "questions.jsonl")


def _texts(folder: Path) -> None:
    for text in read_text_files(find_text_files(folder / "texts").files):
        if not isinstance(text, Unreadable):
            list(split(text, room=20, count=lambda texts: [len(one.split()) for one in texts]))


def _shards(name: str, folder: Path) -> None:
    # Record the mutated size: a shard of another size counts as unfinished and would not be read.
    record = folder / name / "part-00001.json"
    said = json.loads(record.read_bytes())
    said["bytes"] = sum((folder / name / file).stat().st_size for file in said["files"])
    record.write_text(json.dumps(said))
    shards = ShardFolder(folder / name)
    for shard in shards.shards():
        assert np.isfinite(shard.vectors).all()
    shards.problems()


def _sources(name: str, folder: Path) -> None:
    list(Sources([folder / name]).rows())


def _index(folder: Path) -> None:
    # Open a copy: SQLite creates files beside the database and rolls back unfinished transactions in it.
    copy = folder / "copy.sqlite"
    for suffix in INDEX_FILE_SUFFIXES:
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(folder / "index.sqlite", copy)
    with PassageIndex(copy, encoder(folder.parent)) as index:
        for mode in get_args(SearchMode):
            index.search(
                "who wrote of the river", 5, mode=mode, where={"number": [1, 2, 3]} if mode == "bm25" else None
            )
        index.update([IndexedPassage("1", "", "of the city"), IndexedPassage("new", "", "of the tower")])
        index.delete(["2"])
        assert index.search("tower", 1)


Reader = Callable[[Path], None]
#: The files that are mutated, and what reads them.
READERS: list[tuple[tuple[str, ...], Reader]] = [
    (("dpr.json",), _dpr),
    (("dpr.jsonl",), _lines),
    (("beir/corpus.jsonl", "beir/queries.jsonl", "beir/qrels/test.tsv"), _beir),
    (("psgs.tsv", "questions.jsonl"), _answers),
    (
        ("npy/manifest.json", "npy/part-00000.json", "npy/part-00001.npy", "npy/part-00001.rows.jsonl"),
        partial(_shards, "npy"),
    ),
    *[(("parquet/part-00001.parquet",), partial(_shards, "parquet"))] * (find_spec("pyarrow") is not None),
    *[(("source.parquet",), partial(_sources, "source.parquet"))] * (find_spec("pyarrow") is not None),
    (("source.jsonl.gz",), partial(_sources, "source.jsonl.gz")),
    (("index.sqlite",), _index),
    (("texts/a.md", "texts/b.html", "texts/c.rst", "texts/d.txt"), _texts),
]


def write_sound(folder: Path) -> None:
    """A sound file of every form."""
    passages = [context("The river", f"the river {number}", str(number)) for number in range(4)]
    found = [*records(6), dpr_record("who wrote?", ["the city"], ["the tower"]) | {"negative_ctxs": passages}]
    (folder / "dpr.json").write_text(json.dumps(found))
    (folder / "dpr.jsonl").write_text(json_lines(found))
    write_library(folder / "beir")
    (folder / "psgs.tsv").write_text(TSV)
    (folder / "questions.jsonl").write_text(
        json_lines({"question": f"where is {n}?", "answers": [str(n)]} for n in range(5))
    )
    _write_vectors(folder)
    (folder / "texts").mkdir()
    for name, content in (("a.md", MARKDOWN), ("b.html", HTML), ("c.rst", RST), ("d.txt", "A text.\n\n" * 9)):
        (folder / "texts" / name).write_text(content)


def _write_vectors(folder: Path) -> None:
    """Write shards in the formats whose libraries are installed, and an index."""
    pair = encoder(folder.parent)
    rows = shard_folders.write(folder / "rows.jsonl", shard_folders.records())
    (folder / "source.jsonl.gz").write_bytes(gzip.compress(rows.read_bytes()))
    if find_spec("pyarrow"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(shard_folders.records()), folder / "source.parquet")
    for format in ("npy", "parquet") if find_spec("pyarrow") else ("npy",):
        shard_folders.encode(rows, folder / format, pair.passage_encoder, format=format, keep=["title"])
    with PassageIndex(folder / "index.sqlite", pair) as index:
        index.add(IndexedPassage(str(n), "A river", f"the river {n}", "a.md", {"number": n}) for n in range(300))


def attempt(seed: int, folder: Path) -> Counter[str]:
    """Mutate and read fifty data files."""
    rng = random.Random(seed)
    write_sound(folder)
    counts: Counter[str] = Counter()
    for _ in range(50):
        names, read = rng.choice(READERS)
        path = folder / rng.choice(names)
        sound = path.read_bytes()
        path.write_bytes(_mutated(rng, path, _start(rng, path.relative_to(folder).as_posix(), sound)))
        counts.update(["inputs", outcome(read, folder, path)])
        path.write_bytes(sound)
    return counts


def outcome(read: Reader, folder: Path, path: Path) -> str:
    """Return "read", or "refused" for an error that names the file; raise AssertionError for any other exception."""
    try:
        read(folder)
    except (ValueError, OSError) as error:
        if str(folder) in str(error):
            return "refused"
        raise AssertionError(f"{path.name}: {type(error).__name__} names no file: {str(error)[:300]}") from error
    except BaseException as error:
        raise AssertionError(f"{path.name}: {type(error).__name__}: {str(error)[:300]}") from error
    return "read"


def _start(rng: random.Random, name: str, sound: bytes) -> bytes:
    """Return the bytes to mutate: the sound file's or those of a corpus file for it."""
    others = corpus.files(name)
    return rng.choice(others).read_bytes() if others and rng.random() < 0.3 else sound


def _mutated(rng: random.Random, path: Path, sound: bytes) -> bytes:
    if path.suffix in (".json", ".jsonl") and rng.random() < 0.5:
        if path.suffix == ".json":
            try:
                return json_bytes(random_json(rng, json.loads(sound)))
            except (ValueError, RecursionError):  # of the corpus
                return edited(sound, random_edits(rng))
        lines: list[Any] = [json.loads(line) for line in sound.splitlines()]
        changed = rng.randrange(len(lines))
        lines[changed] = random_json(rng, lines[changed])
        return b"".join(json_bytes(line) + b"\n" for line in lines)
    return edited(sound, random_edits(rng))
