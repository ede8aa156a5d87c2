"""Evaluation data as published: DPR JSON, BEIR folders, and DPR's passages with question-answer pairs.

Each reader streams its files and gives a Dataset: a corpus, queries, and what counts as found for each query.
"""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from dpr_tiny_retriever.data.answer_matching import answer_tokens
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import DataError, Place, read_records, read_rows, text_field
from dpr_tiny_retriever.data.records import field as record_field
from dpr_tiny_retriever.types import DatasetProtocol

# The names that Haystack's reader of DPR files accepts (_read_dpr_json), DPR's own first.
QUESTION = ("question", "query", "questions")
POSITIVES = ("positive_ctxs", "positive_contexts", "positive_ctx", "positive_context")
HARD_NEGATIVES = (
    "hard_negative_ctxs",
    "hard_negative_contexts",
    "hard_negative_ctx",
    "hard_negative_context",
)
ANSWERS = ("answers", "answer")


@dataclass(frozen=True)
class Dataset:
    """What an evaluation is run on. Exactly one of relevant and answers is given, an entry for each query."""

    name: str
    protocol: DatasetProtocol
    corpus: PassageStore
    query_ids: list[str]
    queries: list[str]
    relevant: list[dict[int, int]] | None = None
    """PassageStore row -> grade; above 0 is relevant. Negative rows are judged passages that a limit left out."""
    answers: list[list[str]] | None = None
    """Texts, any of which makes a passage that holds it a right one."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and where it stands."""


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
    nothing.
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
    if protocol == "dpr-dev":
        dataset = read_dpr_dev(data, hard_negatives=hard_negatives)
    elif protocol == "beir":
        dataset = read_beir(data, split=split, limit_passages=limit_passages)
    else:
        dataset = read_answers(data, questions, limit_passages=limit_passages)
    for path in distractors:
        add_passages(dataset.corpus, path)
    if protocol != "dpr-dev":
        dataset.corpus.refuse_repeated_ids()
    return dataset


def read_dpr_dev(path: Path, *, hard_negatives: int = 30) -> Dataset:
    """The protocol of the published tiny pairs on biencoder-nq-dev.json.

    Of each question with a positive and enough hard negatives: its first positive and its first hard
    negatives, in the order of the file, nothing merged. Only the question's own positive counts as found.
    """
    if hard_negatives < 0:
        raise ValueError(f"hard_negatives is {hard_negatives}; expected 0 or more")
    corpus, query_ids, queries, relevant = PassageStore(), list[str](), list[str](), list[dict[int, int]]()
    corpus.begin_part(path)
    left_out: dict[str, list[Place]] = {"no positive": [], f"fewer than {hard_negatives} hard negatives": []}
    for number, (place, record) in enumerate(read_records(path), start=1):
        question = text_field(record, QUESTION, place)
        positives = _contexts(record, POSITIVES, place)
        negatives = _contexts(record, HARD_NEGATIVES, place) if hard_negatives else []
        if not positives or len(negatives) < hard_negatives:
            left_out["no positive" if not positives else f"fewer than {hard_negatives} hard negatives"].append(place)
            continue
        query_ids.append(f"q{number}")
        queries.append(question)
        relevant.append({len(corpus): 1})
        for kind, context in [
            ("p1", positives[0]),
            *((f"n{i + 1}", negatives[i]) for i in range(hard_negatives)),
        ]:
            corpus.add(f"q{number}-{kind}", context.get("title"), record_field(context, ("text",), place), place.line)
    notes = [
        f"{len(places)} questions left out, {why}: first {places[0]}" for why, places in left_out.items() if places
    ]
    if not queries:
        found = "; ".join(notes) or "the file is empty"
        raise DataError(
            path,
            f"no question is left ({found}); expected positives, and fewer hard_negatives to be asked for",
        )
    return Dataset(path.name, "dpr-dev", corpus, query_ids, queries, relevant, notes=notes)


def read_beir(folder: Path, *, split: str = "test", limit_passages: int | None = None) -> Dataset:
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, each plain or .gz.

    The queries are those with a passage judged relevant. A judged passage beyond limit_passages still counts,
    and cannot be found.
    """
    judgments = _read_judgments(_either(folder, f"qrels/{split}.tsv"))
    texts = {query_id: text for query_id, text, _ in _beir_queries(folder) if query_id in judgments}
    corpus = PassageStore()
    judged = {passage_id for grades in judgments.values() for passage_id in grades}
    rows = add_passages(corpus, _either(folder, "corpus.jsonl"), limit_passages, judged)
    missing, query_ids, relevant, unjudged = 0, list[str](), list[dict[int, int]](), list[Place]()
    for query_id, grades in judgments.items():
        places = {passage_id: place for passage_id, (_, place) in grades.items()}
        if query_id not in texts:
            raise DataError(
                next(iter(places.values())),
                f"no query has the id {query_id!r}; expected one of queries.jsonl",
            )
        if not any(grade > 0 for grade, _ in grades.values()):
            unjudged.append(next(iter(places.values())))
            continue
        entry: dict[int, int] = {}
        for passage_id, (grade, place) in grades.items():
            if passage_id not in rows and limit_passages is None:
                raise DataError(place, f"no passage has the id {passage_id!r}; expected one of corpus.jsonl")
            missing += passage_id not in rows
            entry[rows.get(passage_id, -1 - len(entry))] = grade
        query_ids.append(query_id)
        relevant.append(entry)
    notes = []
    if unjudged:
        notes.append(f"{len(unjudged)} queries left out, no passage judged relevant: first {unjudged[0]}")
    if missing:
        notes.append(f"{missing} judged passages are beyond the first {limit_passages} and cannot be found")
    if not query_ids:
        raise DataError(_either(folder, f"qrels/{split}.tsv"), "no passage is judged relevant; expected scores above 0")
    queries = [texts[query_id] for query_id in query_ids]
    return Dataset(folder.resolve().name, "beir", corpus, query_ids, queries, relevant, notes=notes)


def read_answers(data: Path, questions: Path | None = None, *, limit_passages: int | None = None) -> Dataset:
    """Passages, and questions whose answers are to be found in the text of a passage (Karpukhin et al. 2020).

    data is DPR's psgs_w100.tsv (id, text, title) or passages as BEIR writes them, with questions as DPR's
    tab-separated question and list of answers, or as JSON with question and answers; or data is a BEIR folder
    whose answers.json gives the answers of each query id.
    """
    if questions is None and not data.is_dir():
        raise ValueError(f"{data} holds passages, and no questions are given; expected a file of questions and answers")
    corpus, query_ids, queries, answers = PassageStore(), list[str](), list[str](), list[list[str]]()
    add_passages(corpus, _either(data, "corpus.jsonl") if data.is_dir() else data, limit_passages)
    path = questions or _either(data, "answers.json")
    pairs = _question_pairs(path) if questions else _beir_question_pairs(data, path)
    for query_id, question, value, place in pairs:
        query_ids.append(query_id)
        queries.append(question)
        answers.append(_checked_answers(value, question, place))
    if not queries:
        raise DataError(path, "found no questions; expected a question and its answers a line")
    return Dataset(data.resolve().stem, "answers", corpus, query_ids, queries, answers=answers)


def _contexts(record: dict[str, Any], names: Sequence[str], place: Place) -> list[dict[str, Any]]:
    contexts = record_field(record, names, place)
    if not isinstance(contexts, list) or not all(isinstance(context, dict) for context in contexts):
        raise DataError(place, f"{names[0]} is no list of passages; expected objects with title and text")
    return contexts


def _either(folder: Path, name: str) -> Path:
    """A file of a BEIR folder, plain or .gz; raises FileNotFoundError that names what is there instead."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    parent = (folder / name).parent
    present = sorted(path.name for path in parent.iterdir()) if parent.is_dir() else []
    raise FileNotFoundError(
        f"{folder / name} is missing, also with .gz; found in {parent}: {', '.join(present) or 'nothing'}; "
        "expected a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"
    )


def _identifier(record: dict[str, Any], place: Place) -> str:
    value = record_field(record, ("_id", "id"), place)
    return str(value) if isinstance(value, int) else text_field(record, ("_id", "id"), place)


def _beir_queries(folder: Path) -> Iterator[tuple[str, str, Place]]:
    seen: dict[str, Place] = {}
    for place, record in read_records(_either(folder, "queries.jsonl")):
        query_id = _identifier(record, place)
        if query_id in seen:
            raise DataError(
                place, f"the query id {query_id!r} stands already in {seen[query_id]}; expected each id once"
            )
        seen[query_id] = place
        yield query_id, text_field(record, ("text",), place), place


def _read_judgments(path: Path) -> dict[str, dict[str, tuple[int, Place]]]:
    """Query id -> passage id -> grade and where it stands."""
    judgments: dict[str, dict[str, tuple[int, Place]]] = {}
    for number, (place, row) in enumerate(read_rows(path)):
        try:
            query_id, passage_id, score = row
            grade = int(score)
        except ValueError:
            if number == 0 and len(row) == 3:
                continue  # the header
            raise DataError(
                place, f"found {row}; expected a query id, a passage id and a whole number, tabs between"
            ) from None
        judgments.setdefault(query_id, {})[passage_id] = grade, place
    if not judgments:
        raise DataError(path, "found no judgments; expected a query id, a passage id and a score a line")
    return judgments


def add_passages(
    corpus: PassageStore, path: Path, limit: int | None = None, wanted: set[str] | frozenset[str] = frozenset()
) -> dict[str, int]:
    """Append the passages of a file; returns the rows of the wanted ids."""
    corpus.begin_part(path)
    passages = _tsv_passages(path) if ".tsv" in path.suffixes else _json_passages(path)
    start, rows = len(corpus), dict[str, int]()
    for place, passage_id, title, text in itertools.islice(passages, limit):
        if passage_id in wanted:
            rows[passage_id] = len(corpus)
        corpus.add(passage_id, title, text, place.line)
    if len(corpus) == start:
        raise DataError(path, "found no passages; expected one a line")
    return rows


def _json_passages(path: Path) -> Iterator[tuple[Place, str, object, object]]:
    for place, record in read_records(path):
        yield place, _identifier(record, place), record.get("title"), record_field(record, ("text",), place)


def _tsv_passages(path: Path) -> Iterator[tuple[Place, str, object, object]]:
    for place, row in read_rows(path):
        if len(row) != 3:
            raise DataError(place, f"found {len(row)} fields; expected 3: id, text, title, with tabs between")
        if row[0] != "id":  # the header
            yield place, row[0], row[2], row[1]


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
            answers = record_field(record, ANSWERS, place)
            yield f"q{number}", text_field(record, QUESTION, place), answers, place


def _beir_question_pairs(folder: Path, path: Path) -> Iterator[tuple[str, str, object, Place]]:
    """The same of a BEIR folder with a JSON object of query ids and their answers."""
    records = [record for _, record in read_records(path)]
    if len(records) != 1:
        raise DataError(path, f"found {len(records)} JSON objects; expected one, of query ids and their answers")
    for query_id, text, _ in _beir_queries(folder):
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
