"""What ranks passages: a dense pair of encoders, and BM25.

Each ranks the distinct passages of a corpus; copies take their place afterwards (expand_duplicates).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from bm25s import BM25 as Bm25Index
from bm25s.tokenization import Tokenized

from dpr_tiny_retriever.data.passage_store import PassageStore, UniquePassages, blocks
from dpr_tiny_retriever.retrieval.embedding_cache import EmbeddingCache
from dpr_tiny_retriever.retrieval.nearest_neighbours import (
    Hits,
    Index,
    Metric,
    TopK,
    approximate_search,
    exact_search,
    recall_vs_exact,
)

if TYPE_CHECKING:
    from dpr_tiny_retriever import DualEncoder

_FUNCTION_WORDS = (
    "a an and are as at be been by did do does for from had has have how in is it its of on or that the this "
    "to was were what when where which who whom whose why with"
)
#: English function and question words: they tell little of what a passage is about.
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_SCORES_AT_ONCE = 1 << 22  # 16 MB of float32


@dataclass(frozen=True)
class Ranking:
    """What a system found for each query, and how long its parts took, in seconds.

    cosine is whether its scores are cosines.
    """

    hits: Hits
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)
    cosine: bool = False


class Retriever(Protocol):
    """Anything that ranks the distinct passages of a corpus for queries."""

    name: str

    @property
    def kind(self) -> Literal["dense", "bm25", "fusion"]: ...

    def rank(self, queries: Sequence[str], corpus: PassageStore, distinct: UniquePassages, k: int) -> Ranking:
        """The k best of the distinct passages for each query; hits are numbered as distinct.first is."""
        ...


class Dense:
    """A pair of encoders and a nearest-neighbour search; vectors come through a cache."""

    kind: Literal["dense"] = "dense"

    def __init__(
        self,
        name: str,
        encoder: DualEncoder,
        *,
        metric: Metric | None = None,
        index: Index = "exact",
        cache: EmbeddingCache | None = None,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> None:
        """With metric None, the one the model states."""
        self.name = name
        self.encoder = encoder
        self.metric: Metric = metric or encoder.similarity
        self.index: Index = index
        self.cache = cache or EmbeddingCache(None)
        self.batch_size = batch_size
        self.show_progress = show_progress

    def rank(self, queries: Sequence[str], corpus: PassageStore, distinct: UniquePassages, k: int) -> Ranking:
        clock = Clock()
        passages = self.cache.passages(
            self.encoder, corpus, distinct, batch_size=self.batch_size, show_progress=self.show_progress
        )
        clock.lap("passages")
        asked = self.cache.queries(self.encoder, list(queries), batch_size=self.batch_size)
        clock.lap("queries")
        hits = exact_search(asked, passages, k, metric=self.metric)
        clock.lap("search")
        notes = [f"vectors of {self.encoder.embedding_dim} floats, compared by {self.metric}"]
        if self.index != "exact":
            exact = hits
            hits = approximate_search(asked, passages, k, metric=self.metric, index=self.index)
            clock.lap(f"{self.index} index and search")
            shares = ", ".join(f"{recall_vs_exact(hits, exact, n):.2%} of the {n}" for n in (1, 10, 100) if n <= k)
            notes.append(f"the {self.index} index keeps {shares} nearest passages of the exact search")
        cosine = self.metric == "cosine" or (self.metric == "dot" and self.encoder.normalize)
        return Ranking(hits, clock.laps, notes, cosine)


class BM25:
    """Okapi BM25 in Lucene's form over the lower-cased words of title and text, without STOP_WORDS."""

    kind: Literal["bm25"] = "bm25"
    _words = re.compile(r"\w+")

    def __init__(self, name: str = "BM25", *, k1: float = 0.9, b: float = 0.4) -> None:
        self.name = name
        self.k1 = k1
        self.b = b

    def tokenize(self, text: str) -> list[str]:
        """The words of a text that count."""
        return [word for word in self._words.findall(text.lower()) if word not in STOP_WORDS]

    def rank(self, queries: Sequence[str], corpus: PassageStore, distinct: UniquePassages, k: int) -> Ranking:
        clock = Clock()
        vocabulary: dict[str, int] = {}
        documents = [
            [
                vocabulary.setdefault(word, len(vocabulary))
                for word in self.tokenize(f"{passage.title or ''} {passage.text}")
            ]
            for passage in corpus.passages(distinct.first)
        ]
        index = Bm25Index(k1=self.k1, b=self.b, method="lucene")
        if vocabulary:  # otherwise no passage holds a word, and the index below could not be built
            index.index(Tokenized(ids=documents, vocab=vocabulary), show_progress=False)
        clock.lap("passages")
        count = len(distinct.first)
        size = max(1, _SCORES_AT_ONCE // count)
        found = []
        for part in blocks(len(queries), size):
            scores = np.zeros((part.stop - part.start, count), np.float32)
            for row, query in enumerate(queries[part]):
                words = [word for word in self.tokenize(query) if word in vocabulary]
                if words:
                    scores[row] = index.get_scores(words)
            scores[scores <= 0] = -np.inf  # without a word in common a passage is not found at all
            best = TopK(len(scores), k)
            best.add(scores, 0)
            found.append(best.hits())
        clock.lap("search")
        hits = Hits(np.concatenate([hits.rows for hits in found]), np.concatenate([hits.scores for hits in found]))
        counted = f"lower-cased words of title and text, without {len(STOP_WORDS)} function words"
        return Ranking(hits, clock.laps, [f"k1 {self.k1}, b {self.b}, {counted}"])


class Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now
