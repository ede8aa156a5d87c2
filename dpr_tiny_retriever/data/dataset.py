"""What an evaluation is run on: a corpus, queries, and what is right for each query."""

from __future__ import annotations

from dataclasses import dataclass, field

from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.types import DatasetProtocol


@dataclass(frozen=True)
class Dataset:
    """What an evaluation is run on. Exactly one of relevant and answers is given, an entry for each query."""

    name: str
    protocol: DatasetProtocol
    corpus: PassageStore
    query_ids: list[str]
    queries: list[str]
    relevant: list[dict[int, int]] | None = None
    """PassageStore row -> grade; above 0 is relevant. Negative rows are judged passages that the corpus lacks."""
    answers: list[list[str]] | None = None
    """Texts, any of which makes a passage that holds it a right one."""
    own_rows: list[int] | None = None
    """The row of the passage that has a query's own id, -1 for none: some sets take their queries from their corpus."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and where it stands."""
