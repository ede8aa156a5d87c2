"""Titled passages and their ranking by exhaustive search, which stores are tested against."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.types import Vectors

DOCUMENT = Path(__file__).parents[1] / "docs" / "stores.md"
COLOURS = ("red", "green", "blue")
QUESTIONS = ["When is an assertion evaluated?", "assignment to an attribute of an instance", "who calls the finalizer"]


class TitledPassage(NamedTuple):
    title: str
    text: str
    colour: str


class DocumentedStore(NamedTuple):
    """A row of the tables in docs/stores.md."""

    ranks_by: str
    formula: str

    def score(self, product: float, query_length: float, passage_length: float) -> float:
        """The store's score of a dot product, by the formula: in it c is the store's own similarity.

        That is the dot product, the cosine, or what makes 2 - 2 * c the squared L2 distance.
        """
        if self.ranks_by == "cosine":
            product /= query_length * passage_length
        elif self.ranks_by == "L2":
            product += 1 - (query_length**2 + passage_length**2) / 2
        return float(eval(self.formula, {"c": product}))


def documented_stores(heading: str) -> dict[str, DocumentedStore]:
    """The stores in the table below a heading of docs/stores.md, by name."""
    [section] = re.findall(rf"^## {heading}$(.*?)^## ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (dot|cosine|L2) \| `([^`]+)` \|$", section, flags=re.MULTILINE)
    return {name: DocumentedStore(ranks_by, formula) for name, ranks_by, formula in rows}


def stores_and_pairs(documented: dict[str, DocumentedStore]) -> list[Any]:
    """Return the parameters (store, pair) of tests: "dot" pairs only with stores that rank by dot product."""
    return [
        pytest.param(name, pair, id=f"{name}, {pair}")
        for name, store in documented.items()
        for pair in ("bundled", "dot", "exact_dot")
        if pair != "dot" or store.ranks_by == "dot"
    ]


def titled_passages(count: int = 40) -> dict[str, TitledPassage]:
    """Paragraphs of Python's language reference by id, under their topics; every seventh has no title."""
    texts = {
        " ".join(paragraph.split()): topic.title()
        for topic, text in topics.items()
        for paragraph in text.split("\n\n")
        if 15 <= len(paragraph.split()) <= 60
    }
    # Qdrant and PostgreSQL take UUIDs for ids.
    return {
        str(UUID(int=number)): TitledPassage("" if number % 7 == 0 else title, text, COLOURS[number % 3])
        for number, (text, title) in enumerate(list(texts.items())[:count])
    }


class RankedPassages:
    """The passages that a store should hold, with their true similarities to the questions."""

    def __init__(self, pair: DualEncoder, passages: dict[str, TitledPassage] | None = None) -> None:
        self.pair = pair
        self.passages = dict(titled_passages() if passages is None else passages)
        self._queries = dict(zip(QUESTIONS, pair.encode_queries(QUESTIONS), strict=True))
        self._vectors = dict(zip(self.passages, self._encoded(self.passages), strict=True))

    def scores(self, question: str, products: Iterable[float], documented: DocumentedStore) -> list[float]:
        """The store's scores for these dot products, of passages whose vectors all have the same norm."""
        lengths = (
            float(np.linalg.norm(self._queries[question])),
            float(np.linalg.norm(next(iter(self._vectors.values())))),
        )
        return [documented.score(product, *lengths) for product in products]

    def check(self, question: str, found: Sequence[str], k: int = 10, colour: str | None = None) -> list[float]:
        """Assert that these are the ids of the top k, ties in any order; return their dot products."""
        query = self._queries[question]
        products = {id: float(vector @ query) for id, vector in self._vectors.items()}
        let_through = [id for id, passage in self.passages.items() if colour in (None, passage.colour)]
        best = sorted((products[id] for id in let_through), reverse=True)[:k]
        assert set(found) <= set(let_through)
        assert len(set(found)) == len(found) == len(best)
        ranked = [products[id] for id in found]
        assert ranked == pytest.approx(best, abs=1e-4 * max(1.0, abs(best[0])))
        return ranked

    def ids(self, *numbers: int) -> list[str]:
        """The ids of the passages that were the first, second, ..., counted from 0."""
        return [str(UUID(int=number)) for number in numbers]

    def id_of(self, text: str) -> str:
        """The id of the passage with this text, for stores that return none."""
        [id] = [id for id, passage in self.passages.items() if passage.text == text]
        return id

    def retitle(self, id: str, title: str) -> None:
        self.passages[id] = self.passages[id]._replace(title=title)
        [self._vectors[id]] = self._encoded([id])

    def remove(self, ids: Iterable[str]) -> None:
        for id in ids:
            del self.passages[id], self._vectors[id]

    def _encoded(self, ids: Iterable[str]) -> Vectors:
        return self.pair.encode_passages([(self.passages[id].title, self.passages[id].text) for id in ids])
