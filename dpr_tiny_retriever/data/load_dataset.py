"""Evaluation data as published, each form by its own reader, which streams its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from dpr_tiny_retriever.data.beir import read_beir
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.dpr_json import read_dpr_dev
from dpr_tiny_retriever.data.passage_files import add_passages
from dpr_tiny_retriever.data.question_answers import read_answers
from dpr_tiny_retriever.data.skipped_records import SkippedRecords, skipped_notes
from dpr_tiny_retriever.types import DatasetProtocol


def load_dataset(
    data: Path,
    *,
    protocol: DatasetProtocol | None = None,
    questions: Path | None = None,
    split: str = "test",
    hard_negatives: int = 30,
    limit_passages: int | None = None,
    distractors: Sequence[Path] = (),
) -> Dataset:
    """Read a data set; with protocol None, questions mean "answers", a folder "beir", a file "dpr-dev".

    questions goes with "answers", split with "beir", hard_negatives with "dpr-dev", limit_passages (the first
    so many of the corpus) with "beir" and "answers"; distractors are files of further passages that answer
    nothing. A record that cannot be used is logged, counted in the notes, and left out; DataError is raised where none
    is left, where a file breaks off, or where records contradict each other.
    """
    if protocol not in (None, *get_args(DatasetProtocol)):
        raise ValueError(f"protocol is {protocol!r}; expected {', '.join(get_args(DatasetProtocol))}")
    if protocol is None:
        protocol = "answers" if questions else "beir" if data.is_dir() else "dpr-dev"
    if questions is not None and protocol != "answers":
        raise ValueError(f"found questions with the protocol {protocol}; expected them with the protocol answers")
    if limit_passages is not None and (limit_passages < 1 or protocol == "dpr-dev"):
        raise ValueError(
            f"limit_passages is {limit_passages} with {protocol}; expected 1 or more, with beir or answers"
        )
    skipped = SkippedRecords()
    if protocol == "dpr-dev":
        dataset = read_dpr_dev(data, hard_negatives=hard_negatives, skipped=skipped)
    elif protocol == "beir":
        dataset = read_beir(data, split=split, limit_passages=limit_passages, skipped=skipped)
    else:
        dataset = read_answers(data, questions, limit_passages=limit_passages, skipped=skipped)
    for path in distractors:
        add_passages(dataset.corpus, path, skipped=skipped)
    if protocol != "dpr-dev":
        dataset.corpus.refuse_repeated_ids()
    dataset.notes.extend(skipped_notes(skipped))
    return dataset
