"""Folders of this machine, and names that are neither a folder nor anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from model_folders import bert_record, write_model

from dpr_tiny_retriever import DualEncoder, ModelNotFoundError
from dpr_tiny_retriever.checkpoints.hub import resolve


@pytest.mark.parametrize("side", ["query", "passage"])
def test_a_folder_is_a_pair_or_one_model(pair_directory: Path, side: Any) -> None:
    assert resolve(pair_directory, side).directory == pair_directory / f"{side}_encoder"
    assert resolve(str(pair_directory / "query_encoder"), side).directory == pair_directory / "query_encoder"


def test_a_tilde_stands_for_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_model(tmp_path / "model", bert_record(width=16))
    assert resolve("~/model", "query").directory == tmp_path / "model"


def test_a_folder_that_is_no_model_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"is not a model: found nothing; expected config.json, or the folders"
    ):
        resolve(tmp_path, "query")
    for name in "abcdefghi":
        (tmp_path / name).touch()
    with pytest.raises(ModelNotFoundError, match=r"found a, b, c, d, e, f, g, h, \.\.\.; expected config.json"):
        resolve(tmp_path, "query")


def test_a_folder_with_one_side_of_a_pair_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "query_encoder", bert_record(width=16))
    with pytest.raises(ModelNotFoundError, match=r"found query_encoder; expected config.json, or the folders"):
        resolve(tmp_path, "passage")


def test_a_file_instead_of_a_folder_is_refused(pair_directory: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config.json is a file; expected the folder that holds config.json"):
        resolve(pair_directory / "query_encoder" / "config.json", "query")


@pytest.mark.posix
@pytest.mark.parametrize(
    "model", ["no such folder", "./nowhere", "/no/such/folder", Path("no/folder"), "nlpconnect-L3", "a/b/c"]
)
def test_a_name_that_is_no_folder_no_hub_id_and_no_preset_is_refused(model: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"there is no folder .*one of bundled, bundled-L12, nlpconnect-L2"):
        resolve(model, "query")


@pytest.mark.parametrize("model", [3, b"bytes", ["a", "list"], {"model": "a"}])
def test_a_model_of_another_kind_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match=r"model is .*; expected a preset, a directory or a hub id"):
        DualEncoder.from_pretrained(model)


@pytest.mark.parametrize("side", ["question", "", None])
def test_an_unknown_side_is_refused(pair_directory: Path, side: Any) -> None:
    with pytest.raises(ValueError, match=f"side is {side!r}; expected 'query' or 'passage'"):
        resolve(pair_directory, side)


@pytest.mark.parametrize("model", ["~nosuchuser/model", "~nosuchuser", "x" * 5000, "a\0b"])
def test_a_path_that_cannot_exist_is_no_folder(model: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"there is no folder .*; expected a folder, a hub id"):
        DualEncoder.from_pretrained(model)


WITHOUT_HOME = """
import sys
from dpr_tiny_retriever import DualEncoder, ModelNotFoundError
pair = DualEncoder.from_pretrained()
try:
    DualEncoder.from_pretrained("~/model")
except ModelNotFoundError as error:
    print(error)
pair.save_pretrained(sys.argv[1])
try:
    pair.save_pretrained("~/saved")
except FileNotFoundError as error:
    print(error)
"""


def test_without_a_home_folder_there_is_no_traceback(tmp_path: Path) -> None:
    """As in a container whose user has no entry of passwd."""
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    hidden = "import pwd\ndef getpwuid(uid):\n    raise KeyError(uid)\npwd.getpwuid = getpwuid\n"
    done = subprocess.run(
        [sys.executable, "-c", hidden + WITHOUT_HOME, str(tmp_path / "saved")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused, not_saved = done.stdout.splitlines()
    assert refused.startswith("there is no folder ~/model, and it is no preset")
    assert not_saved.startswith("~/saved: ")
    assert not_saved.endswith("; expected a path without ~")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
