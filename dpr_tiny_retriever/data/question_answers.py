"""Passages, and questions with the answers that a right passage holds: DPR's, as JSON, or of a BEIR folder."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.answer_matching import answer_tokens
from dpr_tiny_retriever.data.beir import beir_file, read_queries
from dpr_tiny_retriever.data.data_files import DataError, Place
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.dpr_json import ANSWERS, QUESTION
from dpr_tiny_retriever.data.passage_files import add_passages
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import field, read_records, text_field
from dpr_tiny_retriever.data.skipped_records import SkippedRecords, on_error, skipped_notes, skipping
from dpr_tiny_retriever.data.tab_separated import read_rows


def read_answers(
    data: Path,
    questions: Path | None = None,
    *,
    limit_passages: int | None = None,
    skipped: SkippedRecords | None = None,
) -> Dataset:
    """Passages, and questions whose answers are to be found in the text of a passage (Karpukhin et al. 2020).

    data is DPR's psgs_w100.tsv (id, text, title) or passages as BEIR writes them, with questions as DPR's
    tab-separated question and list of answers, or as JSON with question and answers; or data is a BEIR folder
    whose answers.json gives the answers of each query id. A record that cannot be used raises DataError, or is added to
    skipped and left out.
    """
    if questions is None and not data.is_dir():
        raise ValueError(f"{data} holds passages, and no questions are given; expected a file of questions and answers")
    corpus, query_ids, queries, answers = PassageStore(), list[str](), list[str](), list[list[str]]()
    corpus_file = beir_file(data, "corpus.jsonl") if data.is_dir() else data
    add_passages(corpus, corpus_file, limit_passages, skipped=skipped)
    path = questions or beir_file(data, "answers.json")
    for query_id, record, place in _questions(path, skipped) if questions else _beir_questions(data, path, skipped):
        with skipping(skipped):
            question = text_field(record, QUESTION, place)
            checked = _checked_answers(field(record, ANSWERS, place), question, place)
            query_ids.append(query_id)
            queries.append(question)
            answers.append(checked)
    if not queries:
        problem = "found no questions; expected a question and its answers a line"
        raise DataError(path, "; ".join([problem, *skipped_notes(skipped)]))
    return Dataset(data.resolve().stem, "answers", corpus, query_ids, queries, answers=answers)


def _questions(path: Path, skipped: SkippedRecords | None) -> Iterator[tuple[str, dict[str, Any], Place]]:
    """Query id, record with question and answers, place: of tab-separated or JSON questions."""
    if not {".tsv", ".csv"} & set(path.suffixes):
        for number, (place, record) in enumerate(read_records(path, on_error(skipped)), start=1):
            yield f"q{number}", record, place
        return
    for number, (place, row) in enumerate(read_rows(path, 2, on_error(skipped)), start=1):
        with skipping(skipped):
            if len(row) != 2:
                found = f"found {len(row)} fields"
                raise DataError(place, f"{found}; expected 2: question and list of answers, a tab between")
            try:
                answers = ast.literal_eval(row[1])
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                found = f"the answers are {row[1]!r}"
                raise DataError(place, f"{found}; expected a list, such as ['first', 'second']") from None
            yield f"q{number}", {QUESTION[0]: row[0], ANSWERS[0]: answers}, place


def _beir_questions(
    folder: Path, path: Path, skipped: SkippedRecords | None
) -> Iterator[tuple[str, dict[str, Any], Place]]:
    """The same of a BEIR folder with a JSON object of query ids and their answers."""
    records = [record for _, record in read_records(path)]
    if len(records) != 1:
        raise DataError(path, f"found {len(records)} JSON objects; expected one, of query ids and their answers")
    for query_id, text, _ in read_queries(folder, records[0], skipped):
        yield query_id, {QUESTION[0]: text, ANSWERS[0]: records[0][query_id]}, Place(path, 1)


def _checked_answers(value: object, question: str, place: Place) -> list[str]:
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, (list, tuple)) or not answers or not all(isinstance(text, str) for text in answers):
        raise DataError(
            place, f"the answers to {question!r} are {json.dumps(value)}; expected a list of one text or more"
        )
    for text in answers:
        if not answer_tokens(text):
            raise DataError(
                place, f"the answer {text!r} to {question!r} holds no word; expected one that a text can hold"
            )
    return list(answers)
