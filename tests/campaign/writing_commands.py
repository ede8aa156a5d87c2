"""The commands that write, and what must hold of their files however a run ends."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from model_folders import write_pair
from retrieval_data import json_lines, write_library, write_text
from training_data import records

from dpr_tiny_retriever import DualEncoder, IndexedPassage, PassageIndex, commands

QUESTION = "Who wrote of the tower?"
README = "---\nlicense: mit\n---\n# My model\n\n" + "A paragraph that somebody wrote by hand.\n" * 200

#: Saves the pair argv[1] as the pair argv[2].
SAVE = """
import sys
from dpr_tiny_retriever import DualEncoder
DualEncoder.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])
"""


@dataclass(frozen=True)
class WritingCommand:
    """A command, run in a folder that `prepare` has filled: `arguments` for Python, and what to check."""

    name: str
    prepare: Callable[[Path], None]
    arguments: Callable[[Path], list[str]]
    #: Raises AssertionError unless the folder is as before the run or as after it; True is as after it.
    check: Callable[[Path], bool]
    #: Seconds of processor time, about: the costly ones are tried less often.
    cost: float = 1.0
    needs: str = "numpy"
    #: Whether it can run in a fork of a process that has imported its libraries; TensorFlow cannot.
    is_forkable: bool = True

    @property
    def is_available(self) -> bool:
        """Whether what it needs is installed."""
        return find_spec(self.needs) is not None


@cache
def models(folder: Path) -> tuple[Path, Path]:
    """Two pairs of one layer: a former one, and one that takes its place."""
    return tuple(write_pair(folder / name, layers=1, width=32, seed=seed) for seed, name in enumerate(("old", "new")))  # type: ignore[return-value]


def _cli(*arguments: object) -> list[str]:
    return ["-m", "dpr_tiny_retriever", *map(str, arguments)]


def _vectors(pair: Path) -> bytes:
    encoder = DualEncoder.from_pretrained(pair)
    return encoder.encode_queries([QUESTION]).tobytes() + encoder.encode_passages([QUESTION]).tobytes()


def _prepare_save(folder: Path) -> None:
    old, new = models(folder.parent / "models")
    shutil.copytree(old, folder / "pair")
    assert _vectors(old) != _vectors(new)


def _check_save(folder: Path) -> bool:
    old, new = models(folder.parent / "models")
    found = _vectors(folder / "pair")
    assert found in (_vectors(old), _vectors(new)), "the pair is neither the former nor the new one"
    return found == _vectors(new)


def _prepare_search(folder: Path) -> None:
    model, _ = models(folder.parent / "models")
    (folder / "texts").mkdir()
    for number in range(12):
        write_text(folder / "texts" / f"{number}.md", f"# The river {number}\n\nOf old towers and city {number}.")
    with PassageIndex(folder / "index.sqlite", DualEncoder.from_pretrained(model), model_name=str(model)) as index:
        index.add([IndexedPassage("earlier", "The tower", "a passage of an earlier time")])
    # The folder has changed since: all of it is new to the index.


def _check_search(folder: Path) -> bool:
    model, _ = models(folder.parent / "models")
    with PassageIndex(folder / "index.sqlite", DualEncoder.from_pretrained(model), model_name=str(model)) as index:
        found = {passage.passage.text for passage in index.search(QUESTION, 100)}
    new = {f"Of old towers and city {number}." for number in range(12)}
    # What no file of the folder says any more is removed first, in a transaction of its own.
    assert found in ({"a passage of an earlier time"}, set(), new), f"the index holds {sorted(found)[:3]}"
    return found == new


def _prepare_evaluate(folder: Path) -> None:
    write_library(folder / "beir")
    (folder / "out").mkdir()
    (folder / "out" / "results.json").write_text(json.dumps({"yesterday": "x" * 20_000}))
    (folder / "README.md").write_text(README)


def _check_evaluate(folder: Path) -> bool:
    results = json.loads((folder / "out" / "results.json").read_text())
    readme = (folder / "README.md").read_text()
    assert README.rpartition("---\n")[2] in readme, "the README is cut"
    assert results == {"yesterday": "x" * 20_000} or "results" in str(results)[:2000] or results, "no results"
    return "yesterday" not in results and readme != README


def _prepare_mine(folder: Path) -> None:
    write_text(folder / "train.jsonl", json_lines(records()))
    (folder / "mined.json").write_text(json.dumps(["yesterday"] * 5000))


def _check_mine(folder: Path) -> bool:
    found = json.loads((folder / "mined.json").read_text())
    assert found == ["yesterday"] * 5000 or len(found) == len(records()), "neither yesterday's nor all of today's"
    return found[0] != "yesterday"


def _prepare_encode(folder: Path) -> None:
    rows = [{"id": str(number), "title": "the river", "text": f"of the city {number}"} for number in range(400)]
    write_text(folder / "corpus.jsonl", json_lines(rows))


@cache
def _encoded(models_folder: Path) -> dict[str, bytes]:
    """The files of a run that nothing disturbed."""
    from subprocess import run

    folder = models_folder.parent / "encoded"
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that died
    folder.mkdir()
    _prepare_encode(folder)
    run([sys.executable, *ENCODE.arguments(folder)], check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


def _check_encode(folder: Path) -> bool:
    expected = _encoded(folder.parent / "models")
    found = {path.name: path for path in (folder / "shards").glob("[!.]*")} if (folder / "shards").is_dir() else {}
    for name in found.keys() & expected.keys():
        if name.startswith("part-") and name != "manifest.json":
            assert found[name].read_bytes() == expected[name], f"{name} is not what an undisturbed run writes"
    return "manifest.json" in found and found.keys() >= expected.keys()


def _prepare_train(folder: Path) -> None:
    write_text(folder / "train.jsonl", json_lines(records()))


def _check_train(folder: Path) -> bool:
    pair = folder / "pair"
    if not (pair / "query_encoder" / "config.json").exists():
        return False
    assert np.isfinite(np.frombuffer(_vectors(pair), np.float32)).all()
    return True


SAVE_COMMAND = WritingCommand(
    "save",
    _prepare_save,
    lambda folder: ["-c", SAVE, str(models(folder.parent / "models")[1]), str(folder / "pair")],
    _check_save,
)
SEARCH = WritingCommand(
    "search",
    _prepare_search,
    lambda folder: _cli(
        *("search", folder / "texts", QUESTION, "--index", folder / "index.sqlite"),
        *("--model", models(folder.parent / "models")[0]),
    ),
    _check_search,
)
EVALUATE = WritingCommand(
    "evaluate",
    _prepare_evaluate,
    lambda folder: _cli(
        *("evaluate", "--data", folder / "beir", "--model", models(folder.parent / "models")[0], "--baseline", "none"),
        *("--output", folder / "out", "--card", folder / "README.md", "--cache", folder / "cache"),
    ),
    _check_evaluate,
    cost=4,
    needs="ir_measures",
)
MINE = WritingCommand(
    "mine",
    _prepare_mine,
    lambda folder: _cli("mine", folder / "train.jsonl", "--output", folder / "mined.json"),
    _check_mine,
    cost=2,
    needs="bm25s",
)
ENCODE = WritingCommand(
    "encode",
    _prepare_encode,
    lambda folder: _cli(
        *("encode", folder / "corpus.jsonl", "--output", folder / "shards", "--rows-per-shard", "50"),
        *("--model", models(folder.parent / "models")[0]),
    ),
    _check_encode,
    cost=2,
    needs="pyarrow" if (Path(commands.__path__[0]) / "encode.py").exists() else "no_such_command",
)
TRAIN = WritingCommand(
    "train",
    _prepare_train,
    lambda folder: _cli(
        *("train", folder / "train.jsonl", "--output", folder / "pair", "--start", models(folder.parent / "models")[0]),
        *("--set", "schedule.steps=12", "--set", "batches.size=4", "--set", "evaluation.every=3"),
    ),
    _check_train,
    cost=8,
    needs="tensorflow",
    is_forkable=False,
)

COMMANDS = {one.name: one for one in (SAVE_COMMAND, SEARCH, EVALUATE, MINE, ENCODE, TRAIN)}
