"""DPR's JSON records: the names of their fields, and the evaluation on its dev file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.data_files import DataError, Place
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.passage_store import PassageStore, checked_passage
from dpr_tiny_retriever.data.records import field, read_records, text_field
from dpr_tiny_retriever.data.skipped_records import SkippedRecords, on_error, skipped_notes, skipping

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


def read_dpr_dev(path: Path, *, hard_negatives: int = 30, skipped: SkippedRecords | None = None) -> Dataset:
    """The protocol of the published tiny pairs on biencoder-nq-dev.json.

    Of each question with a positive and enough hard negatives: its first positive and its first hard
    negatives, in the order of the file, nothing merged. Only the question's own positive counts as found. A record that
    cannot be used raises DataError, or is added to skipped and left out.
    """
    if hard_negatives < 0:
        raise ValueError(f"hard_negatives is {hard_negatives}; expected 0 or more")
    corpus, query_ids, queries, relevant = PassageStore(), list[str](), list[str](), list[dict[int, int]]()
    corpus.begin_part(path)
    too_few = f"fewer than {hard_negatives} hard negatives"
    left_out: dict[str, list[Place]] = {"no positive": [], too_few: []}
    for number, (place, record) in enumerate(read_records(path, on_error(skipped)), start=1):
        with skipping(skipped):
            question = text_field(record, QUESTION, place)
            positives = _contexts(record, POSITIVES, place)
            negatives = _contexts(record, HARD_NEGATIVES, place) if hard_negatives else []
            if not positives or len(negatives) < hard_negatives:
                left_out["no positive" if not positives else f"fewer than {hard_negatives} hard negatives"].append(
                    place
                )
                continue
            kinds = ["p1", *(f"n{number}" for number in range(1, hard_negatives + 1))]
            passages = [
                (f"q{number}-{kind}", *checked_passage(context.get("title"), field(context, ("text",), place), place))
                for kind, context in zip(kinds, [positives[0], *negatives[:hard_negatives]], strict=True)
            ]
            query_ids.append(f"q{number}")
            queries.append(question)
            relevant.append({len(corpus): 1})
            for passage_id, title, text in passages:
                corpus.add(passage_id, title, text, place.line)
    notes = [
        f"{len(places)} questions left out, {why}: first {places[0]}" for why, places in left_out.items() if places
    ]
    if not queries:
        found = "; ".join([*notes, *skipped_notes(skipped)]) or "the file is empty"
        raise DataError(
            path,
            f"no question is left ({found}); expected positives, and fewer hard_negatives to be asked for",
        )
    return Dataset(path.name, "dpr-dev", corpus, query_ids, queries, relevant, notes=notes)


def _contexts(record: dict[str, Any], names: Sequence[str], place: Place) -> list[dict[str, Any]]:
    contexts = field(record, names, place)
    if not isinstance(contexts, list) or not all(isinstance(context, dict) for context in contexts):
        raise DataError(place, f"{names[0]} is no list of passages; expected objects with title and text")
    return contexts
