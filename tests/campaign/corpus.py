"""The seed corpus for fuzzing: small files of every format, each valid or with a single defect."""

from __future__ import annotations

import shutil
from pathlib import Path

from campaign.make_corpus import ARRAYS, CORPUS, RECORD
from model_folders import write_h5, write_model, write_safetensors

from dpr_tiny_retriever import DualEncoder

#: For each kind, the file of a model folder, or of a folder that readers.write_sound() makes, in whose place it stands.
TARGETS = {
    "safetensors": "model.safetensors",
    "h5": "tf_model.h5",
    "config": "config.json",
    "tokenizer": "tokenizer.json",
    "modules": "modules.json",
    "vocabulary": "vocab.txt",
    "qrels": "beir/qrels/test.tsv",
    "dpr": "dpr.json",
    "tsv": "psgs.tsv",
}


def files(target: str) -> list[Path]:
    """Return the corpus files that can replace a file of this name."""
    kinds = [kind for kind, name in TARGETS.items() if name == target]
    return sorted(path for kind in kinds for path in (CORPUS / kind).iterdir())


def names() -> list[str]:
    """All files, such as "h5/cycle.h5"."""
    return sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/*"))


def write_model_with(folder: Path, name: str) -> Path:
    """Write a valid model folder with one file replaced by this corpus file."""
    kind = name.partition("/")[0]
    write_model(folder, RECORD, ARRAYS, weights=write_h5 if kind == "h5" else write_safetensors)
    if kind == "modules":
        DualEncoder.from_pretrained(folder).query_encoder.save_pretrained(folder)
    if kind == "vocabulary":
        (folder / "tokenizer.json").unlink()
    shutil.copyfile(CORPUS / name, folder / TARGETS[kind])
    return folder
