"""BEIR folders (Thakur et al. 2021): corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv, each plain or .gz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.passage_files import add_passages, record_id
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import DataError, Place, read_records, read_rows, text_field


def read_beir(folder: Path, *, split: str = "test", limit_passages: int | None = None) -> Dataset:
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, each plain or .gz.

    The queries are those with a passage judged relevant. A judged passage beyond limit_passages still counts,
    and cannot be found.
    """
    judgments = _read_judgments(beir_file(folder, f"qrels/{split}.tsv"))
    texts = {query_id: text for query_id, text, _ in read_queries(folder) if query_id in judgments}
    corpus = PassageStore()
    judged = {passage_id for grades in judgments.values() for passage_id in grades}
    rows = add_passages(corpus, beir_file(folder, "corpus.jsonl"), limit_passages, judged)
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
        raise DataError(
            beir_file(folder, f"qrels/{split}.tsv"), "no passage is judged relevant; expected scores above 0"
        )
    queries = [texts[query_id] for query_id in query_ids]
    return Dataset(folder.resolve().name, "beir", corpus, query_ids, queries, relevant, notes=notes)


def read_queries(folder: Path) -> Iterator[tuple[str, str, Place]]:
    """Yield id, text and place of the queries of a BEIR folder."""
    seen: dict[str, Place] = {}
    for place, record in read_records(beir_file(folder, "queries.jsonl")):
        query_id = record_id(record, place)
        if query_id in seen:
            raise DataError(
                place, f"the query id {query_id!r} stands already in {seen[query_id]}; expected each id once"
            )
        seen[query_id] = place
        yield query_id, text_field(record, ("text",), place), place


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
