"""BEIR folders (Thakur et al. 2021): corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv, each plain or .gz."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from dpr_tiny_retriever.data.data_files import DataError, MisreadDataError, Place
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.passage_files import add_passages, record_id
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import read_records, text_field
from dpr_tiny_retriever.data.skipped_records import SkippedRecords, on_error, skipped_notes, skipping
from dpr_tiny_retriever.data.tab_separated import read_rows

#: The largest grade that ir-measures can hold on every system.
_LARGEST_GRADE = (1 << 31) - 1


def read_beir(
    folder: Path, *, split: str = "test", limit_passages: int | None = None, skipped: SkippedRecords | None = None
) -> Dataset:
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, each plain or .gz.

    The queries are those with a passage judged relevant. A judged passage that is not in the corpus, or beyond
    limit_passages, still counts, and cannot be found. A record that cannot be used raises DataError, or is added to
    skipped and left out; judgments that contradict each other always raise it.
    """
    qrels = beir_file(folder, f"qrels/{split}.tsv")
    judgments = _read_judgments(qrels, skipped)
    texts = {query_id: text for query_id, text, _ in read_queries(folder, judgments, skipped)}
    corpus = PassageStore()
    wanted = {passage_id for grades in judgments.values() for passage_id in grades} | texts.keys()
    rows = add_passages(corpus, beir_file(folder, "corpus.jsonl"), limit_passages, wanted, skipped=skipped)
    query_ids, relevant = list[str](), list[dict[int, int]]()
    without_text, unjudged, missing = list[Place](), list[Place](), list[Place]()
    for query_id, grades in judgments.items():
        _, first = next(iter(grades.values()))
        if query_id not in texts:
            without_text.append(first)
            continue
        if not any(grade > 0 for grade, _ in grades.values()):
            unjudged.append(first)
            continue
        entry: dict[int, int] = {}
        for passage_id, (grade, place) in grades.items():
            if passage_id not in rows:
                missing.append(place)
            entry[rows.get(passage_id, -1 - len(entry))] = grade
        query_ids.append(query_id)
        relevant.append(entry)
    notes = []
    if without_text:
        notes.append(f"{len(without_text)} judged queries left out, no text in queries.jsonl: first {without_text[0]}")
    if unjudged:
        notes.append(f"{len(unjudged)} queries left out, no passage judged relevant: first {unjudged[0]}")
    if missing:
        where = "not in corpus.jsonl" if limit_passages is None else f"beyond the first {limit_passages}"
        notes.append(f"{len(missing)} judged passages are {where} and cannot be found: first {missing[0]}")
    if not query_ids:
        raise DataError(qrels, "; ".join(["no query with a text has a passage judged relevant", *notes]))
    if limit_passages is None and not any(row >= 0 for entry in relevant for row in entry):
        raise DataError(qrels, f"{notes[-1]}; expected the corpus that was judged")
    queries = [texts[query_id] for query_id in query_ids]
    own_rows = [rows.get(query_id, -1) for query_id in query_ids]
    return Dataset(folder.resolve().name, "beir", corpus, query_ids, queries, relevant, own_rows=own_rows, notes=notes)


def read_queries(
    folder: Path, wanted: Container[str], skipped: SkippedRecords | None = None
) -> Iterator[tuple[str, str, Place]]:
    """Yield id, text and place of the queries of a BEIR folder that are wanted.

    A record that is no query, or has no text, raises DataError, or is added to skipped and left out; an id that
    stands for two texts always raises it.
    """
    seen: dict[str, tuple[str, Place]] = {}
    for place, record in read_records(beir_file(folder, "queries.jsonl"), on_error(skipped)):
        with skipping(skipped):
            query_id = record_id(record, place)
            if query_id not in wanted:
                continue
            text = text_field(record, ("text",), place)
            first_text, first = seen.setdefault(query_id, (text, place))
            if text != first_text:
                already = f"the query id {query_id!r} stands already in {first}, for another text"
                raise MisreadDataError(place, f"{already}; expected each id once")
            if place == first:
                yield query_id, text, place


def beir_file(folder: Path, name: str) -> Path:
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


def _read_judgments(path: Path, skipped: SkippedRecords | None) -> dict[str, dict[str, tuple[int, Place]]]:
    """Query id -> passage id -> grade and where it stands; a first line whose third field is no number is a header."""
    judgments: dict[str, dict[str, tuple[int, Place]]] = {}
    for number, (place, row) in enumerate(read_rows(path, 3, on_error(skipped))):
        if number == 0 and len(row) == 3 and _number(row[2]) is None:
            continue
        with skipping(skipped):
            query_id, passage_id, grade = _judgment(row, place)
            first_grade, first = judgments.setdefault(query_id, {}).setdefault(passage_id, (grade, place))
            if grade != first_grade:
                judged = (
                    f"passage {passage_id!r} is judged {grade} for query {query_id!r}, but {first_grade} in {first}"
                )
                raise MisreadDataError(place, f"{judged}; expected judgments that agree")
    if not judgments:
        problem = "found no judgments; expected a query id, a passage id and a score a line"
        raise DataError(path, "; ".join([problem, *skipped_notes(skipped)]))
    return judgments


def _judgment(row: list[str], place: Place) -> tuple[str, str, int]:
    grade = _number(row[2]) if len(row) == 3 and row[0].strip() and row[1].strip() else None
    if grade is None or not grade.is_integer():
        raise DataError(place, f"found {row}; expected a query id, a passage id and a whole number, tabs between")
    if abs(grade) > _LARGEST_GRADE:
        raise DataError(place, f"the grade is {row[2][:80]}; expected one of at most {_LARGEST_GRADE:,}")
    return row[0], row[1], int(grade)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
