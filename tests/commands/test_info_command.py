"""The command info: what is installed, what runs the models, what the cache holds; and clearing it."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dpr_tiny_retriever import DualEncoder, __version__
from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.commands.cli import commands
from dpr_tiny_retriever.model.native_library import available_builds, unavailable_builds


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dpr-tiny-retriever"


@pytest.fixture
def kept() -> list[dict[str, Any]]:
    """Two caches, one of them as an earlier version might have left it."""
    for name, size in (("embeddings", 2_000_000), ("of-old", 5)):
        user_cache(name).mkdir(parents=True)
        (user_cache(name) / "file").write_bytes(b"x" * size)
    return [
        {"path": str(user_cache("embeddings")), "size": 2_000_000},
        {"path": str(user_cache("of-old")), "size": 5},
    ]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["info", *arguments], catch_exceptions=False)


def test_the_report_says_what_runs_the_bundled_pair() -> None:
    report = json.loads(run("--json").stdout)
    assert report["version"] == __version__
    assert platform.python_version() in report["python"]
    backend = DualEncoder.from_pretrained().backend
    names = ["bundled", "bundled-L12"]
    assert report["bundled_pairs"] == [{"name": name, "backend": backend, "embedding_dim": 128} for name in names]
    assert report["threads"] >= 1
    assert report["native_builds"] == list(available_builds())
    assert report["missing_native_builds"] == dict(unavailable_builds())


def test_a_backend_that_cannot_run_is_part_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPR_TINY_BACKEND", "quick")
    for pair in json.loads(run("--json").stdout)["bundled_pairs"]:
        assert pair["backend"].startswith("none: ")
        assert "quick" in pair["backend"]


def test_extras_are_listed_with_versions_or_the_way_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = {
        "numbers": ["numpy"],
        "all": ["dpr-tiny-retriever[numbers,absent]", "tokenizers"],
        "absent": ["no-such-distribution"],
    }
    lines = ["numpy>=1.26", *(f'{name}>=0.1; extra == "{extra}"' for extra, names in extras.items() for name in names)]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    assert json.loads(run("--json").stdout)["extras"] == {
        "numbers": {"numpy": version("numpy")},
        "all": {"numpy": version("numpy"), "no-such-distribution": None, "tokenizers": version("tokenizers")},
        "absent": {"no-such-distribution": None},
    }
    output = run().stdout
    assert f"  numbers       numpy {version('numpy')}\n" in output
    assert '  absent        pip install "dpr-tiny-retriever[absent]"\n' in output


def test_the_extras_are_those_of_the_package() -> None:
    extras = json.loads(run("--json").stdout)["extras"]
    assert {"tensorflow", "train", "eval", "haystack", "farm-haystack", "langchain"} <= extras.keys()
    assert "tensorflow" in extras["train"]


def test_caches_are_listed_with_their_sizes(kept: list[dict[str, Any]]) -> None:
    assert json.loads(run("--json").stdout)["caches"] == kept
    output = run().stdout
    assert f"  2.0 MB  {user_cache('embeddings')}\n" in output
    assert "dpr-tiny info --clear removes them" in output


@pytest.mark.posix
def test_caches_are_removed_and_named(kept: list[dict[str, Any]], cache: Path) -> None:
    output = run("--clear").stdout
    assert f"Removed {user_cache('embeddings')} (2.0 MB)" in output
    assert f"Removed {user_cache('of-old')}" in output
    assert list(cache.iterdir()) == []
    assert run("--clear").stdout == "There is no cache to remove.\n"


def test_what_was_removed_is_written_as_json_too(kept: list[dict[str, Any]]) -> None:
    assert json.loads(run("--clear", "--json").stdout) == {"removed": kept}
    assert json.loads(run("--clear", "--json").stdout) == {"removed": []}
