"""Repositories of which the local hub cache holds a part: offline, settings that may be missing are not guessed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_stand_in import Hub
from model_folders import write_json
from published_models import QUERY, hub_environment
from sentence_transformers_folder import write_modules

COMMIT = "a" * 40
#: What transformers downloads of a repository.
OF_TRANSFORMERS = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}

ENCODE = """
import json, sys
from dpr_tiny_retriever import DualEncoder
model, options = json.loads(sys.argv[1])
pair = DualEncoder.from_pretrained(model, **options)
print(json.dumps(pair.encode_queries(["the city"]).tolist()))
"""

Encode = Callable[..., Any]


@pytest.fixture
def encode(hub: Hub, tmp_path: Path) -> Encode:
    """Encode in another process: vectors, or the last line of what was raised."""

    def run(model: str, environment: dict[str, str] | None = None, **options: Any) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", ENCODE, json.dumps([model, options])],
            capture_output=True,
            text=True,
            env=hub_environment(hub, tmp_path / "home", **environment or {}),
            check=False,
        )
        return done.stderr.splitlines()[-1] if done.returncode else np.array(json.loads(done.stdout), np.float32)

    return run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model of sentence-transformers, with every file that changes its vectors."""
    folder = write_modules(tmp_path / "repository", "Transformer", "Pooling", "Normalize")
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40})
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "who: "}})
    return folder


def cache(home: Path, repository: Path, left_out: set[str], known_absent: tuple[str, ...] = ()) -> None:
    """Put a part of the repository into the hub cache, as downloading it from there leaves it."""
    root = home / "hub" / "models--acme--mini"
    shutil.rmtree(root, ignore_errors=True)
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    for path in repository.rglob("*"):
        name = path.relative_to(repository).as_posix()
        if path.is_file() and name not in left_out:
            target = root / "snapshots" / COMMIT / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for name in known_absent:
        note = root / ".no_exist" / COMMIT / name
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("offline", [{"local_files_only": True}, {"environment": {"HF_HUB_OFFLINE": "1"}}])
def test_what_transformers_cached_is_refused_with_the_ways_out(
    encode: Encode, repository: Path, tmp_path: Path, offline: dict[str, Any]
) -> None:
    cache(tmp_path / "home", repository, files(repository) - OF_TRANSFORMERS)
    assert encode("acme/mini", **offline) == (
        "dpr_tiny_retriever.errors.ModelNotFoundError: the local hub cache holds only a part of acme/mini: "
        "modules.json may exist on the hub and change the vectors. Ways out: run once online without "
        "local_files_only and HF_HUB_OFFLINE; pass pooling= if you know how the model pools; or download "
        "the repository whole (hf download acme/mini --local-dir FOLDER) and pass the folder"
    )


def test_a_stated_pooling_takes_what_is_cached(encode: Encode, repository: Path, tmp_path: Path) -> None:
    cache(tmp_path / "home", repository, files(repository) - OF_TRANSFORMERS)
    vectors = encode("acme/mini", local_files_only=True, pooling="mean")
    assert vectors.shape == (1, 16)


@pytest.mark.parametrize(
    "name", ["config_sentence_transformers.json", "sentence_bert_config.json", "1_Pooling/config.json"]
)
def test_every_setting_that_may_be_missing_is_named(
    encode: Encode, repository: Path, tmp_path: Path, name: str
) -> None:
    cache(tmp_path / "home", repository, {name})
    message = encode("acme/mini", local_files_only=True)
    assert f"holds only a part of acme/mini: {name} may exist on the hub" in message


def test_what_is_cached_whole_or_known_to_be_absent_is_loaded(encode: Encode, repository: Path, tmp_path: Path) -> None:
    cache(tmp_path / "home", repository, set())
    whole = encode("acme/mini", local_files_only=True)
    np.testing.assert_array_equal(whole, encode(str(repository)))
    (repository / "sentence_bert_config.json").unlink()
    cache(tmp_path / "home", repository, set(), known_absent=("sentence_bert_config.json",))
    np.testing.assert_allclose(encode("acme/mini", local_files_only=True), whole, atol=1e-6)


def test_what_the_hub_does_not_have_is_known_after_one_run_online(hub: Hub, encode: Encode, tmp_path: Path) -> None:
    hub.repositories["me/plain"] = hub.repositories[QUERY]
    online = encode("me/plain")
    hub.requests.clear()
    np.testing.assert_array_equal(encode("me/plain", local_files_only=True), online)
    assert hub.requests == []


def test_a_part_is_completed_online(hub: Hub, encode: Encode, repository: Path, tmp_path: Path) -> None:
    hub.add("acme/mini", repository)
    commit = hub.repositories["acme/mini"].commit("main")
    cache(tmp_path / "home", repository, files(repository) - OF_TRANSFORMERS)
    root = tmp_path / "home" / "hub" / "models--acme--mini"
    (root / "refs" / "main").write_text(str(commit))
    os.rename(root / "snapshots" / COMMIT, root / "snapshots" / str(commit))
    online = encode("acme/mini")
    np.testing.assert_array_equal(online, encode(str(repository)))
    np.testing.assert_array_equal(online, encode("acme/mini", local_files_only=True))
