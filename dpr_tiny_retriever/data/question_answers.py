"""Passages, and questions with the answers that a right passage holds: DPR's, as JSON, or of a BEIR folder."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from dpr_tiny_retriever.data.answer_matching import answer_tokens
from dpr_tiny_retriever.data.beir import beir_file, read_queries
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.dpr_json import ANSWERS, QUESTION
from dpr_tiny_retriever.data.passage_files import add_passages
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import DataError, Place, field, read_records, read_rows, text_field


def read_answers(data: Path, questions: Path | None = None, *, limit_passages: int | None = None) -> Dataset:
    """Passages, and questions whose answers are to be found in the text of a passage (Karpukhin et al. 2020).

    data is DPR's psgs_w100.tsv (id, text, title) or passages as BEIR writes them, with questions as DPR's
    tab-separated question and list of answers, or as JSON with question and answers; or data is a BEIR folder
    whose answers.json gives the answers of each query id.
    """
    if questions is None and not data.is_dir():
        raise ValueError(f"{data} holds passages, and no questions are given; expected a file of questions and answers")
    corpus, query_ids, queries, answers = PassageStore(), list[str](), list[str](), list[list[str]]()
    add_passages(corpus, beir_file(data, "corpus.jsonl") if data.is_dir() else data, limit_passages)
    path = questions or beir_file(data, "answers.json")
    pairs = _question_pairs(path) if questions else _beir_question_pairs(data, path)
    for query_id, question, value, place in pairs:
        query_ids.append(query_id)
        queries.append(question)
        answers.append(_checked_answers(value, question, place))
    if not queries:
        raise DataError(path, "found no questions; expected a question and its answers a line")
    return Dataset(data.resolve().stem, "answers", corpus, query_ids, queries, answers=answers)


def _question_pairs(path: Path) -> Iterator[tuple[str, str, object, Place]]:
    """Query id, question, answers, place: of tab-separated or JSON questions."""
    if {".tsv", ".csv"} & set(path.suffixes):
        for number, (place, row) in enumerate(read_rows(path), start=1):
            if len(row) != 2:
                raise DataError(
                    place, f"found {len(row)} fields; expected 2: question and list of answers, a tab between"
                )
            try:
                answers = ast.literal_eval(row[1])
            except (ValueError, SyntaxError):
                raise DataError(
                    place, f"the answers are {row[1]!r}; expected a list, such as ['first', 'second']"
                ) from None
            yield f"q{number}", row[0], answers, place
    else:
        for number, (place, record) in enumerate(read_records(path), start=1):
            answers = field(record, ANSWERS, place)
            yield f"q{number}", text_field(record, QUESTION, place), answers, place


def _beir_question_pairs(folder: Path, path: Path) -> Iterator[tuple[str, str, object, Place]]:
    """The same of a BEIR folder with a JSON object of query ids and their answers."""
    records = [record for _, record in read_records(path)]
    if len(records) != 1:
        raise DataError(path, f"found {len(records)} JSON objects; expected one, of query ids and their answers")
    for query_id, text, _ in read_queries(folder):
        if query_id in records[0]:
            yield query_id, text, records[0][query_id], Place(path, 1)


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
