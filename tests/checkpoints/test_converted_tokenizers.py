"""Tokenizers of other classes than BERT's, which transformers converts."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from model_folders import write_json, write_tokenizer
from tokenizer_reference import ours, reference

from dpr_tiny_retriever import CheckpointError
from dpr_tiny_retriever.checkpoints.tokenizer_files import load_tokenizer

pytestmark = [pytest.mark.also_lowest, pytest.mark.transformers]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


def vocabulary_only(folder: Path, target: Path, kind: str) -> Path:
    shutil.copy(folder / "vocab.txt", target)
    write_json(target / "config.json", {"model_type": "bert"})
    write_json(target / "tokenizer_config.json", {"tokenizer_class": kind})
    return target


def test_a_tokenizer_of_another_class_is_converted_by_transformers(folder: Path, tmp_path: Path) -> None:
    converted = load_tokenizer(vocabulary_only(folder, tmp_path, "ElectraTokenizer"))
    text = "The City, naïve [MASK]"
    assert ours(converted, "x.y", text, 64) == reference(folder, "x.y", text, 64)


@pytest.mark.parametrize("kind", ["BertJapaneseTokenizer", "CanineTokenizer"])
def test_a_tokenizer_that_splits_words_in_its_own_way_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(CheckpointError, match=rf"found a {kind}, which has no fast form; expected tokenizer.json"):
        load_tokenizer(vocabulary_only(folder, tmp_path, kind))


RUNS = """
import sys
from pathlib import Path
Path({mark!r}).touch()
from transformers import BertTokenizerFast
class Own(BertTokenizerFast):
    pass
"""


@pytest.mark.parametrize("form", ["vocab.txt", "vocab.json", "spiece.model"])
@pytest.mark.parametrize("named_by", ["tokenizer_config.json", "config.json"])
def test_code_that_a_folder_names_is_neither_run_nor_asked_for(
    folder: Path, tmp_path: Path, form: str, named_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "code was run"
    model = tmp_path / "model"
    model.mkdir()
    (model / "own.py").write_text(RUNS.format(mark=str(mark)))
    shutil.copy(folder / "vocab.txt", model / form)
    records: dict[str, dict[str, Any]] = {
        "config.json": {"model_type": "bert"},
        "tokenizer_config.json": {"tokenizer_class": "Own"},
    }
    records[named_by]["auto_map"] = {"AutoTokenizer": ["own.Own", "own.Own"]}
    for name, record in records.items():
        write_json(model / name, record)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    with pytest.raises(CheckpointError, match=rf"{named_by}: auto_map names code .* which is never run"):
        load_tokenizer(model)
    assert not mark.exists()
    assert sys.stdin.read() == "y\n" * 9
