"""Retrievers that evaluation and mining compare: a dual encoder with nearest-neighbour search, and BM25.

Each ranks the unique passages of a corpus; expand_duplicates puts the duplicates back afterwards. BM25 needs the extra
`eval` or `train`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from bm25s import BM25 as Bm25Index
from bm25s.tokenization import Tokenized

from dpr_tiny_retriever.data.passage_store import PassageStore, UniquePassages, blocks
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.bm25_words import K1, STOP_WORDS, B, bm25_words, passage_words
from dpr_tiny_retriever.retrieval.embedding_cache import EmbeddingCache
from dpr_tiny_retriever.retrieval.nearest_neighbours import (
    Hits,
    approximate_search,
    best_rows,
    exact_search,
    recall_vs_exact,
    scores_are_cosines,
)
from dpr_tiny_retriever.types import IndexKind, Metric

if TYPE_CHECKING:
    from dpr_tiny_retriever import DualEncoder

SCORES_PER_BLOCK = 1 << 22  # 16 MB of float32


@dataclass(frozen=True)
class Ranking:
    """What a retriever found for each query."""

    hits: Hits
    seconds: dict[str, float]
    """How long each part took."""
    notes: list[str] = field(default_factory=list)
    """The settings that the ranking depends on."""
    indexed: Hits | None = None
    """What a passage index of the same model finds, where that may be something else: what a blend is made of."""
    cosine: bool = False
    """Whether the scores of such an index are cosines."""


class Retriever(Protocol):
    """Anything that ranks the unique passages of a corpus for queries."""

    name: str

    @property
    def kind(self) -> Literal["dense", "bm25"]: ...

    def rank(self, queries: Sequence[str], corpus: PassageStore, unique: UniquePassages, k: int) -> Ranking:
        """Return the k best of the unique passages for each query; hits are positions in unique.first."""
        ...


class Dense:
    """A dual encoder with nearest-neighbour search; its vectors go through a cache."""

    kind: Literal["dense"] = "dense"

    def __init__(
        self,
        name: str,
        encoder: DualEncoder,
        *,
        metric: Metric | None = None,
        index: IndexKind = "exact",
        cache: EmbeddingCache | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> None:
        """metric None is the similarity that the model was trained with; cache None keeps no vectors;
        show_progress None draws a progress bar on a terminal only."""
        self.name = name
        self.encoder = encoder
        self.metric: Metric = metric or encoder.similarity
        self.index: IndexKind = index
        self.cache = cache or EmbeddingCache(None)
        self.batch_size = batch_size
        self.show_progress = show_progress

    def rank(self, queries: Sequence[str], corpus: PassageStore, unique: UniquePassages, k: int) -> Ranking:
        """Return the k passages nearest to each query by the metric."""
        stopwatch = Stopwatch()
        passages = self.cache.passages(
            self.encoder, corpus, unique, batch_size=self.batch_size, show_progress=self.show_progress
        )
        stopwatch.lap("passages")
        query_vectors = self.cache.queries(self.encoder, list(queries), batch_size=self.batch_size)
        stopwatch.lap("queries")
        hits = exact_search(query_vectors, passages, k, metric=self.metric)
        stopwatch.lap("search")
        own = self.encoder.similarity
        indexed = hits
        if self.metric != own:
            indexed = exact_search(query_vectors, passages, k, metric=own)
            stopwatch.lap(f"search by {own}, for a blend")
        notes = [f"vectors of {self.encoder.embedding_dim} floats, compared by {self.metric}"]
        if self.index != "exact":
            exact = hits
            hits = approximate_search(query_vectors, passages, k, metric=self.metric, index=self.index)
            stopwatch.lap(f"{self.index} index and search")
            recalls = ", ".join(f"{recall_vs_exact(hits, exact, n):.2%} of the {n}" for n in (1, 10, 100) if n <= k)
            notes.append(f"the {self.index} index keeps {recalls} nearest passages of the exact search")
        cosine = scores_are_cosines(own, normalize=self.encoder.normalize)
        return Ranking(hits, stopwatch.seconds, notes, indexed, cosine)


class BM25:
    """Okapi BM25 in Lucene's form over the lower-cased words of title and text, without STOP_WORDS."""

    kind: Literal["bm25"] = "bm25"

    def __init__(self, name: str = "BM25", *, k1: float = K1, b: float = B) -> None:
        self.name = name
        self.k1 = k1
        self.b = b

    def rank(self, queries: Sequence[str], corpus: PassageStore, unique: UniquePassages, k: int) -> Ranking:
        """Return the k passages with the highest BM25 score for each query."""
        stopwatch = Stopwatch()
        index = Bm25Index(k1=self.k1, b=self.b, method="lucene")
        # Duplicates count in document frequencies and lengths, as they do in an index.
        count = len(unique.of_row)
        vocabulary = self._index(index, corpus.passages(range(count)))
        stopwatch.lap("passages")
        blocks_of_hits = []
        for part in blocks(len(queries), max(1, SCORES_PER_BLOCK // count)):
            scores = np.zeros((part.stop - part.start, count), np.float32)
            for row, query in enumerate(queries[part]):
                known = [word for word in bm25_words(query) if word in vocabulary]
                if known:
                    scores[row] = index.get_scores(known)
            scores[scores <= 0] = -np.inf  # a passage that shares no word with the query is not a hit
            blocks_of_hits.append(best_rows(scores if count == len(unique.first) else scores[:, unique.first], k))
        stopwatch.lap("search")
        words_counted = f"lower-cased words of title and text, without {len(STOP_WORDS)} function words"
        return Ranking(
            Hits.concatenate(blocks_of_hits), stopwatch.seconds, [f"k1 {self.k1}, b {self.b}, {words_counted}"]
        )

    def _index(self, index: Bm25Index, passages: Iterable[Passage]) -> dict[str, int]:
        """Index the passages; returns the number of each word."""
        vocabulary: dict[str, int] = {}
        word_ids = [
            [vocabulary.setdefault(word, len(vocabulary)) for word in passage_words(passage.title, passage.text)]
            for passage in passages
        ]
        if vocabulary:  # bm25s cannot index passages without any word
            index.index(Tokenized(ids=word_ids, vocab=vocabulary), show_progress=False)
        return vocabulary


class Stopwatch:
    """Seconds of each part of a ranking."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Book the time since the last lap under a name."""
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now
