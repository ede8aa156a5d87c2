"""Small corpora of JSON lines, and the folders of shards that are made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.corpus import EncodedCorpus, ShardFolder, ShardOptions, Sources, encode_corpus
from dpr_tiny_retriever.corpus.encoding import DELETED, Spread
from dpr_tiny_retriever.types import Vectors

Record = dict[str, Any]

#: Rows of a shard, so that 10 rows make three shards.
FEW = 4


def record(number: int, text: str | None = None) -> Record:
    return {"id": f"d{number}", "title": "title" if number % 2 else None, "text": text or f"text {number} of the river"}


def records(count: int = 10) -> list[Record]:
    return [record(number) for number in range(count)]


def write(path: Path, found: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    return path


def encode(
    path: Path, output: Path, encoder: Encoder, *, spread: Spread | None = None, **options: Any
) -> EncodedCorpus:
    chosen = ShardOptions(**{"rows_per_shard": FEW, "format": "npy"} | options)
    return encode_corpus(Sources([path], keep=chosen.keep), output, encoder, chosen, spread=spread)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != DELETED}


def ids(folder: Path) -> list[str]:
    return [id for shard in ShardFolder(folder).shards() for id in shard.ids]


def vectors(folder: Path) -> Vectors:
    return np.concatenate([shard.vectors for shard in ShardFolder(folder).shards()])
