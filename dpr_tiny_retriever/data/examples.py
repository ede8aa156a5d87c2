"""Training data as published: DPR JSON, JSON lines, BEIR folders -> examples, one at a time."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.data.beir import read_beir
from dpr_tiny_retriever.data.data_files import DataError, Place
from dpr_tiny_retriever.data.dpr_json import ANSWERS, HARD_NEGATIVES, POSITIVES, QUESTION
from dpr_tiny_retriever.data.records import read_records, text_field
from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.passage import Passage, refuse_surrogates


@dataclass(frozen=True)
class Example:
    """A question with passages that answer it, and passages that look as if they did."""

    question: str
    positives: tuple[Passage, ...]
    hard_negatives: tuple[Passage, ...] = ()
    answers: tuple[str, ...] = ()

    def without_titles(self) -> Example:
        """The same example, passages without their titles."""
        positives, negatives = (
            tuple(Passage(None, passage.text) for passage in passages)
            for passages in (self.positives, self.hard_negatives)
        )
        return dataclasses.replace(self, positives=positives, hard_negatives=negatives)


def read_examples(data: Path, *, split: str = "train", skipped: SkippedRecords | None = None) -> Iterator[Example]:
    """Yield the examples of a DPR JSON file, JSON lines (plain or .gz), or a BEIR folder's qrels/SPLIT.tsv.

    A record is a question with positive_ctxs and, optionally, hard_negative_ctxs and answers, under any of the names
    that Haystack reads; or a question with the title and text of one passage. Raises DataError with file and line for
    a record that cannot be used, or adds it to skipped and goes on; a file that breaks off is always an error.
    """
    if data.is_dir():
        yield from _beir_examples(data, split, skipped)
        return
    for place, record in read_records(data, skipped.add if skipped is not None else None):
        try:
            example = _example(record, place)
        except DataError as error:
            if skipped is None:
                raise
            skipped.add(error)
            continue
        yield example


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write examples as DPR JSON, an array with a record a line; a name with .gz is gzip'd. Returns their number.

    What stood there is replaced when all are written.
    """
    count, opened = 0, gzip.open if path.suffix == ".gz" else open
    with replaced_file(path) as part, opened(part, "wt", encoding="utf-8", newline="\n") as file:
        for example in examples:
            file.write(("[\n" if not count else ",\n") + json.dumps(_record(example), ensure_ascii=False))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count


def _example(record: dict[str, Any], place: Place) -> Example:
    question = text_field(record, QUESTION, place)
    answers = _first_of(record, ANSWERS) or []
    answers = [answers] if isinstance(answers, str) else answers
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise DataError(place, "answers is no list of texts; expected such as ['first', 'second']")
    positives = _first_of(record, POSITIVES)
    if positives is None:
        text_field(record, ("text", *POSITIVES), place)
        positives = [{"title": record.get("title"), "text": record["text"]}]
    example = Example(
        question,
        _passages(positives, POSITIVES[0], place),
        _passages(_first_of(record, HARD_NEGATIVES) or [], HARD_NEGATIVES[0], place),
        tuple(answers),
    )
    if not example.positives:
        raise DataError(place, f"{POSITIVES[0]} is empty; expected at least one passage that answers the question")
    _refuse_surrogates(example, place)
    return example


def _first_of(record: dict[str, Any], names: Iterable[str]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _passages(contexts: Any, name: str, place: Place) -> tuple[Passage, ...]:
    if not isinstance(contexts, list):
        raise DataError(place, f"{name} is a {type(contexts).__name__}; expected a list of passages")
    return tuple(_passage(context, f"{name}[{number}]", place) for number, context in enumerate(contexts))


def _passage(context: Any, name: str, place: Place) -> Passage:
    if not isinstance(context, dict):
        raise DataError(place, f"{name} is a {type(context).__name__}; expected an object with title and text")
    title, text = context.get("title"), context.get("text")
    if title is not None and not isinstance(title, str):
        raise DataError(place, f"the title of {name} is a {type(title).__name__}; expected a text or null")
    if not isinstance(text, str) or not text.strip():
        found = "empty" if isinstance(text, str) else f"a {type(text).__name__}"
        raise DataError(place, f"the text of {name} is {found}; expected a text")
    return Passage(title or None, text)


def _refuse_surrogates(example: Example, place: Place) -> None:
    try:
        for text in (example.question, *example.answers):
            refuse_surrogates(text, "a question or answer")
        for passage in example.positives + example.hard_negatives:
            refuse_surrogates(f"{passage.title}{passage.text}", "a passage")
    except ValueError as error:
        raise DataError(place, str(error)) from None


def _record(example: Example) -> dict[str, Any]:
    return {
        "question": example.question,
        "answers": list(example.answers),
        "positive_ctxs": [_context(passage) for passage in example.positives],
        "negative_ctxs": [],
        "hard_negative_ctxs": [_context(passage) for passage in example.hard_negatives],
    }


def _context(passage: Passage) -> dict[str, str]:
    return {"title": passage.title or "", "text": passage.text}


def _beir_examples(folder: Path, split: str, skipped: SkippedRecords | None) -> Iterator[Example]:
    dataset = read_beir(folder, split=split, skipped=skipped)
    for question, grades in zip(dataset.queries, dataset.relevant or [], strict=True):
        positives = [dataset.corpus[row] for row, grade in grades.items() if grade > 0 and row >= 0]
        if positives:
            yield Example(question, tuple(positives))
