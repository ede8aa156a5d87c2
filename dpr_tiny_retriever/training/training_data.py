"""Files of examples -> the stores that a run reads its batches from."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpr_tiny_retriever.data.examples import read_examples
from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer
from dpr_tiny_retriever.training.settings import Settings
from dpr_tiny_retriever.training.token_store import ExampleStore


@dataclass(frozen=True)
class TrainingData:
    """DPR JSON files, JSON lines (plain or .gz) and BEIR folders, and what of them is used."""

    files: Sequence[Path]
    dev: Sequence[Path] = ()
    """Evaluated on while training."""
    dev_share: float = 0.0
    """The share of the examples of files, drawn at random, that are evaluated on instead of trained on."""
    split: str = "train"
    """Which qrels of a BEIR folder; those of dev folders are "dev" beside it."""
    titles: bool = True
    """Whether passages keep their titles."""
    max_examples: int | None = None
    """The first examples of each file that are read."""

    def __post_init__(self) -> None:
        if not 0 <= self.dev_share < 1:
            raise ValueError(f"dev_share is {self.dev_share}; expected 0 or more, and less than 1")


@dataclass(frozen=True)
class DataSource:
    """One file of examples: how many it gave, how many records of it were skipped, and a digest of the examples."""

    name: str
    examples: int
    skipped: int
    digest: str


@dataclass(frozen=True)
class ReadData:
    """The examples of a run, and where they come from."""

    examples: ExampleStore
    dev: ExampleStore
    sources: list[DataSource]
    dev_sources: list[DataSource]
    skipped: SkippedRecords


def read_data(data: TrainingData, tokenizer: PairTokenizer, settings: Settings) -> ReadData:
    """Read all examples; raises DataError for a file that cannot be read, ValueError where there are no examples."""
    lengths = settings.batches.max_query_length, settings.batches.max_passage_length
    examples, dev_examples = ExampleStore(tokenizer, *lengths), ExampleStore(tokenizer, *lengths)
    skipped = SkippedRecords()
    draw = np.random.default_rng([settings.seed, 1 << 33])

    def drawn() -> ExampleStore:
        return dev_examples if draw.random() < data.dev_share else examples

    sources = [_read_file(path, data.split, data, drawn, skipped) for path in data.files]
    dev_split = "dev" if data.split == "train" else data.split
    dev_sources = [_read_file(path, dev_split, data, lambda: dev_examples, skipped) for path in data.dev]
    if not len(examples):
        names = ", ".join(map(str, data.files)) or "no files"
        raise ValueError(f"found no examples in {names}; expected at least one question with a passage")
    return ReadData(examples, dev_examples, sources, dev_sources, skipped)


def _read_file(
    path: Path, split: str, data: TrainingData, store: Callable[[], ExampleStore], skipped: SkippedRecords
) -> DataSource:
    count, skipped_before, digest = 0, skipped.count, hashlib.sha256()
    for example in itertools.islice(read_examples(path, split=split, skipped=skipped), data.max_examples):
        store().add(example if data.titles else example.without_titles())
        count += 1
        digest.update(repr(example).encode())
    return DataSource(path.name, count, skipped.count - skipped_before, digest.hexdigest())
