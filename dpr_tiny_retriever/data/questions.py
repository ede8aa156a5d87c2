"""Files of questions -> questions: a line each, or JSON records with a field `question`; plain or gzip'd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpr_tiny_retriever.data.data_files import DataError, Place
from dpr_tiny_retriever.data.dpr_json import QUESTION
from dpr_tiny_retriever.data.records import read_lines, read_records, text_field
from dpr_tiny_retriever.data.skipped_records import SkippedRecords, on_error, skipping
from dpr_tiny_retriever.passage import refuse_surrogates


def read_questions(path: Path, *, skipped: SkippedRecords | None = None) -> Iterator[str]:
    """Yield the questions of a file, in its order.

    .txt or .txt.gz holds one a line, and empty lines are passed over; any other name JSON lines or an array of
    records with `question`, other fields being ignored. A record that cannot be used raises DataError with file and
    line, or is added to skipped and left out; a file that breaks off is always an error.
    """
    if ".txt" in path.suffixes[-2:]:
        for number, line in read_lines(path, on_error(skipped)):
            if question := line.strip():
                with skipping(skipped):
                    yield _checked(question, Place(path, number))
        return
    for place, record in read_records(path, on_error(skipped)):
        with skipping(skipped):
            yield text_field(record, QUESTION, place).strip()


def _checked(question: str, place: Place) -> str:
    try:
        refuse_surrogates(question, "the question")
    except ValueError as error:
        raise DataError(place, str(error)) from None
    return question
