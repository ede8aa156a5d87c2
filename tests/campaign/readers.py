"""Mutated files of data: every reader reads them, or names the file and what is wrong with it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.mutations import edited, json_bytes, random_edits, random_json
from retrieval_data import context, dpr_record, json_lines, write_library
from training_data import records

from dpr_tiny_retriever.data.beir import read_beir
from dpr_tiny_retriever.data.dpr_json import read_dpr_dev
from dpr_tiny_retriever.data.examples import read_examples
from dpr_tiny_retriever.data.load_dataset import load_dataset
from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.data.text_files import Unreadable, find_text_files, read_text_files
from dpr_tiny_retriever.data.text_passages import split

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


Reader = Callable[[Path], None]
#: The files that are mutated, and what reads them.
READERS: list[tuple[tuple[str, ...], Reader]] = [
    (("dpr.json",), _dpr),
    (("dpr.jsonl",), _lines),
    (("beir/corpus.jsonl", "beir/queries.jsonl", "beir/qrels/test.tsv"), _beir),
    (("psgs.tsv", "questions.jsonl"), _answers),
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
    (folder / "texts").mkdir()
    for name, content in (("a.md", MARKDOWN), ("b.html", HTML), ("c.rst", RST), ("d.txt", "A text.\n\n" * 9)):
        (folder / "texts" / name).write_text(content)


def attempt(seed: int, folder: Path) -> Counter[str]:
    """Mutate and read fifty data files."""
    rng = random.Random(seed)
    write_sound(folder)
    counts: Counter[str] = Counter()
    for _ in range(50):
        names, read = rng.choice(READERS)
        path = folder / rng.choice(names)
        sound = path.read_bytes()
        path.write_bytes(_mutated(rng, path, sound))
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


def _mutated(rng: random.Random, path: Path, sound: bytes) -> bytes:
    if path.suffix in (".json", ".jsonl") and rng.random() < 0.5:
        if path.suffix == ".json":
            return json_bytes(random_json(rng, json.loads(sound)))
        lines: list[Any] = [json.loads(line) for line in sound.splitlines()]
        changed = rng.randrange(len(lines))
        lines[changed] = random_json(rng, lines[changed])
        return b"".join(json_bytes(line) + b"\n" for line in lines)
    return edited(sound, random_edits(rng))
