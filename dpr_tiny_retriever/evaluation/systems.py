"""What can be evaluated: a dense pair of encoders, BM25, and the two fused by ranks or by scores.

Each ranks the distinct passages of a corpus; copies take their place afterwards (search.expand).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from bm25s import BM25 as Bm25Index
from bm25s.tokenization import Tokenized
from numpy.typing import NDArray

from dpr_tiny_retriever.evaluation.cache import EmbeddingCache
from dpr_tiny_retriever.evaluation.corpus import Corpus, Distinct, blocks
from dpr_tiny_retriever.evaluation.search import (
    Hits,
    Index,
    Metric,
    TopK,
    approximate_search,
    exact_search,
    kept_share,
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
_RIVAL = 5  # the rank that the best is compared with
#: In a blend a cosine of the first number counts as 1, and one lower by the second as e times less.
_SURE, _STEP = 0.83, 0.1


@dataclass(frozen=True)
class Ranking:
    """What a system found for each query, and how long its parts took, in seconds.

    cosine is whether its scores are cosines.
    """

    hits: Hits
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)
    cosine: bool = False


class System(Protocol):
    """Anything that ranks the distinct passages of a corpus for queries."""

    name: str

    @property
    def kind(self) -> Literal["dense", "bm25", "fusion"]: ...

    def rank(self, queries: Sequence[str], corpus: Corpus, distinct: Distinct, k: int) -> Ranking:
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

    def rank(self, queries: Sequence[str], corpus: Corpus, distinct: Distinct, k: int) -> Ranking:
        clock = _Clock()
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
            shares = ", ".join(f"{kept_share(hits, exact, n):.2%} of the {n}" for n in (1, 10, 100) if n <= k)
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

    def rank(self, queries: Sequence[str], corpus: Corpus, distinct: Distinct, k: int) -> Ranking:
        clock = _Clock()
        vocabulary: dict[str, int] = {}
        documents = [
            [vocabulary.setdefault(word, len(vocabulary)) for word in self.tokenize(f"{passage.title} {passage.text}")]
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


def fuse(rankings: Sequence[Ranking], k: int, *, constant: int = 60) -> Ranking:
    """Reciprocal-rank fusion (Cormack et al. 2009): a passage's score is the sum of 1 / (constant + rank)."""
    gains = [lambda scores, _: 1 / (constant + np.arange(1, len(scores) + 1))] * len(rankings)
    return _combine(rankings, gains, k, f"reciprocal-rank fusion, constant {constant}")


def blend(dense: Ranking, sparse: Ranking, k: int, *, dense_weight: float = 0.4) -> Ranking:
    """Weighted sum of scores, each counted by how sure its system is.

    A cosine c counts as exp((c - 0.83) / 0.1): a pair that has found what it looked for outweighs the words, one that
    has not leaves the choice to them. Dense scores without bounds say no such thing, and are scaled from the least to
    the best that was found. BM25's are scaled by their best (Bruch et al. 2023, with 0 as the least) and count by its
    margin, the best above the fifth in that scale: where many passages hold the words of a question, its words do not
    tell them apart. A passage that only one of two full lists holds is taken to be as good as the last of the other.
    """
    if not 0 <= dense_weight <= 1:
        raise ValueError(f"dense_weight is {dense_weight}; expected 0 (BM25 alone) to 1 (the dense system alone)")
    gains = [
        partial(_near if dense.cosine else _spread, weight=dense_weight),
        partial(_by_margin, weight=1 - dense_weight),
    ]
    how = "by how near the cosine is to 1" if dense.cosine else "scaled"
    note = f"scores added, dense ones {how} with weight {dense_weight:g}, BM25's scaled and by its margin"
    return _combine([dense, sparse], gains, k, note)


# Gains: what the scores of one system, best first, give each passage. One that was not found has none; where the list
# is full, it is taken to be as good as the last.


def _near(scores: NDArray[np.float64], full: bool, *, weight: float) -> NDArray[np.float64]:
    gains: NDArray[np.float64] = weight * np.exp((scores - _SURE) / _STEP)
    return gains - gains[-1] if full else gains


def _spread(scores: NDArray[np.float64], full: bool, *, weight: float) -> NDArray[np.float64]:
    if not len(scores):
        return scores
    gains: NDArray[np.float64] = weight * (scores - scores[-1]) / (scores[0] - scores[-1] or 1.0)
    return gains


def _by_margin(scores: NDArray[np.float64], full: bool, *, weight: float) -> NDArray[np.float64]:
    if not len(scores):
        return scores
    gains: NDArray[np.float64] = weight * scores / scores[0]
    if len(scores) >= _RIVAL:
        gains *= 1 - scores[_RIVAL - 1] / scores[0]
    return gains - gains[-1] if full else gains


def _combine(
    rankings: Sequence[Ranking],
    gains: Sequence[Callable[[NDArray[np.float64], bool], NDArray[np.float64]]],
    k: int,
    note: str,
) -> Ranking:
    """Rank by the sum of what each ranking gives a passage; a gain is told scores, and whether their list is full."""
    clock = _Clock()
    count = len(rankings[0].hits.rows)
    rows, sums = np.full((count, k), -1, np.int32), np.full((count, k), -np.inf, np.float32)
    for query in range(count):
        sizes = [np.count_nonzero(ranking.hits.rows[query] >= 0) for ranking in rankings]
        found = np.concatenate([one.hits.rows[query, :size] for one, size in zip(rankings, sizes, strict=True)])
        added = [
            gain(one.hits.scores[query, :size].astype(np.float64), size == one.hits.rows.shape[1])
            for gain, one, size in zip(gains, rankings, sizes, strict=True)
        ]
        passages, which = np.unique(found, return_inverse=True)
        total = np.bincount(which.reshape(-1), weights=np.concatenate(added), minlength=len(passages))
        order = np.lexsort((passages, -total))[:k]
        rows[query, : len(order)], sums[query, : len(order)] = passages[order], total[order]
    clock.lap("fusion")
    return Ranking(Hits(rows, sums), clock.laps, [note])


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now
