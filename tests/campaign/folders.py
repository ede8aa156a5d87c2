"""Mutated and crafted model folders: loaded with finite vectors, or refused with the package's own errors.

Whatever the folder says, no file outside of it is read, nothing is run, and no connection is opened.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from campaign import corpus
from campaign.mutations import edited, json_bytes, random_edits, random_json
from model_folders import bert_record, write_h5, write_model, write_pair, write_shards

from dpr_tiny_retriever import CheckpointError, DualEncoder, MissingExtraError, ModelNotFoundError

TEXTS = ["the river of the city", "", "☃ 日本 [MASK] x.y", "who wrote " * 300]
REFUSALS = (CheckpointError, MissingExtraError, ModelNotFoundError)

#: What the audit hook has seen of what a folder may not cause.
_seen: list[str] = []
_watched: list[Path] = []
_READ_ANYWAY = tuple(
    str(Path(path).resolve()) for path in {sys.prefix, sys.base_prefix, sys.exec_prefix, Path(__file__).parents[2]}
)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        allowed = (str(_watched[0]), "/proc", "/sys", "/dev/null", "/dev/urandom", *_READ_ANYWAY)
        if not path.startswith(allowed):
            _seen.append(f"reads {path}")
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class", "socket.connect"):
        _seen.append(f"{event} {arguments!r}"[:300])


@cache
def _hook() -> None:
    sys.addaudithook(_watch)


@cache
def forms(root: Path) -> list[Path]:
    """A sound folder of every form that is read."""
    record = bert_record(layers=1, width=32)
    folders = [write_model(root / "safetensors", record), write_model(root / "h5", record, weights=write_h5)]
    folders += [
        write_model(root / "shards", record, weights=write_shards),
        write_pair(root / "pair", layers=1, width=32),
    ]
    plain = write_model(root / "vocabulary", record)
    (plain / "tokenizer.json").unlink()
    pair = DualEncoder.from_pretrained(folders[-1])
    pair.save_pretrained(root / "saved")  # with the files of sentence-transformers
    pair.query_encoder.save_pretrained(root / "side")
    return [*folders, plain, root / "saved", root / "side"]


def attempt(seed: int, folder: Path) -> Counter[str]:
    """Mutate a model folder ten times; load each mutation, and encode with those that load."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    _hook()
    for number in range(10):
        source = rng.choice(forms(folder.parent / "forms"))
        model = folder / f"model-{number}"
        shutil.copytree(source, model)
        (folder / "private.json").write_text('{"hidden_size": "the secret"}')
        what = _mutate(rng, model)
        counts.update(["folders", loaded(model, what)])
        shutil.rmtree(model)
    return counts


def loaded(model: Path, what: str) -> str:
    _watched[:], _seen[:] = [model.resolve()], []
    try:
        encoder = DualEncoder.from_pretrained(model)
        vectors = encoder.encode_passages(TEXTS)
        assert np.isfinite(vectors).all(), f"{what}: vectors are not finite"
        np.testing.assert_array_equal(vectors, encoder.encode_passages(TEXTS))
        outcome = "loaded"
    except REFUSALS as error:
        outcome = "shows what is outside" if "the secret" in str(error) or not str(error).strip() else "refused"
    except BaseException as error:
        if "the two models are no pair" not in str(error):
            raise AssertionError(f"{what}: {type(error).__name__}: {str(error)[:500]}") from error
        outcome = "refused"
    finally:
        _watched[:] = []
    if what.endswith("is a link"):  # which is followed: folders of the hub's cache consist of them
        return "linked"
    assert outcome != "shows what is outside", what
    assert not _seen, f"{what}: {_seen}"
    return outcome


def _mutate(rng: random.Random, model: Path) -> str:
    """Change a file of the folder; returns what was done."""
    files = sorted(path for path in model.rglob("*") if path.is_file())
    path = rng.choice(files)
    name = path.relative_to(model).as_posix()
    action = rng.randrange(10)
    others = corpus.files(path.name)
    if others and action < 6 and rng.random() < 0.3:
        other = rng.choice(others)
        path.write_bytes(edited(other.read_bytes(), rng.choice([[], random_edits(rng)])))
        return f"{name} is {other.name} of the corpus"
    if action < 4 and path.suffix == ".json":
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_bytes(json_bytes(random_json(rng, record)))
        return f"values of {name}"
    if action < 7:
        path.write_bytes(edited(path.read_bytes(), random_edits(rng)))
        return f"bytes of {name}"
    path.unlink()
    if action == 7:
        path.symlink_to(rng.choice(["/etc/hostname", "../private.json", ".", path.name, "/dev/zero", "/proc/self/mem"]))
        return f"{name} is a link"
    if action == 8:
        path.mkdir()
        return f"{name} is a folder"
    with path.open("wb") as file:
        file.truncate(rng.choice([0, 1, 10**6, 1 << 40]))
    return f"{name} is sparse"
