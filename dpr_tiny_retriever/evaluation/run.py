"""An evaluation from data set and systems to results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.answer_matching import has_answer
from dpr_tiny_retriever.data.datasets import Dataset
from dpr_tiny_retriever.data.records import DataError
from dpr_tiny_retriever.evaluation.measures import KS, first_ranks, measure, measure_first
from dpr_tiny_retriever.retrieval.fusion import blend, fuse
from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits, expand_duplicates
from dpr_tiny_retriever.retrieval.retrievers import Ranking, Retriever

DEPTH = 1000  # how many passages are ranked for each query: MAP is over these


@dataclass(frozen=True)
class Result:
    """One system's figures on one data set."""

    name: str
    kind: str
    measures: dict[str, float]
    """Fractions, not percent."""
    first_ranks: NDArray[np.int32]
    """[q]: rank of the first right passage, from 1; 0 where none was found."""
    hits: Hits
    seconds: dict[str, float]
    notes: list[str]


@dataclass(frozen=True)
class Evaluation:
    """The figures of all systems on one data set."""

    dataset: Dataset
    ks: tuple[int, ...]
    results: list[Result]
    notes: list[str]


def evaluate(
    dataset: Dataset,
    systems: Sequence[Retriever],
    *,
    ks: Sequence[int] | None = None,
    fusion: bool = False,
    blend_weight: float | None = None,
) -> Evaluation:
    """Rank the passages with each system and measure it.

    fusion adds each dense system fused with BM25 by reciprocal rank; blend_weight adds their scores blended, with this
    weight (0 to 1) for the dense ones. With ks None, the usual ones that the corpus has passages for; a k given beyond
    the corpus is a DataError.
    """
    if not systems:
        raise ValueError("no systems are given; expected at least one")
    repeated = {system.name for system in systems if sum(other.name == system.name for other in systems) > 1}
    if repeated:
        raise ValueError(f"found two systems named {', '.join(sorted(repeated))}; expected names that differ")
    kinds: dict[str, str] = {system.name: system.kind for system in systems}
    if (fusion or blend_weight is not None) and not {"bm25", "dense"} <= set(kinds.values()):
        raise ValueError(f"fusion found {list(kinds)}; expected BM25 and a dense system")
    size = len(dataset.corpus)
    chosen, notes = _checked_ks(ks, dataset)
    distinct = dataset.corpus.distinct()
    depth = min(size, max(DEPTH, *chosen))
    rankings = {
        system.name: system.rank(dataset.queries, dataset.corpus, distinct, min(depth, len(distinct.first)))
        for system in systems
    }
    rankings |= dict(_fused(systems, rankings, fusion=fusion, blend_weight=blend_weight))
    results = []
    for name, ranking in rankings.items():
        hits = expand_duplicates(_to_depth(ranking, depth), distinct)
        relevant = dataset.relevant if dataset.relevant is not None else _holding_answers(dataset, hits)
        figures = (measure if dataset.relevant is not None else measure_first)(hits, relevant, chosen)
        results.append(
            Result(
                name,
                kinds.get(name, "fusion"),
                figures,
                first_ranks(hits, relevant),
                hits,
                ranking.seconds,
                ranking.notes,
            )
        )
    return Evaluation(dataset, tuple(chosen), results, [*dataset.notes, *notes])


def _fused(
    systems: Sequence[Retriever], rankings: Mapping[str, Ranking], *, fusion: bool, blend_weight: float | None
) -> Iterator[tuple[str, Ranking]]:
    """Each dense system together with each BM25, under the name of both."""
    for sparse in (system.name for system in systems if system.kind == "bm25"):
        for dense in (system.name for system in systems if system.kind == "dense"):
            pair, k = (rankings[dense], rankings[sparse]), rankings[dense].hits.rows.shape[1]
            if fusion:
                yield f"{dense} + {sparse}", fuse(pair, k)
            if blend_weight is not None:
                yield f"{dense} + {sparse}, blended", blend(*pair, k, dense_weight=blend_weight)


def _checked_ks(ks: Sequence[int] | None, dataset: Dataset) -> tuple[list[int], list[str]]:
    size, source = len(dataset.corpus), dataset.corpus.sources[0]
    if ks is None:
        beyond = [k for k in KS if k > size]
        note = f"{source}: {size} passages in all, so no figures for k = {', '.join(map(str, beyond))}"
        return [k for k in KS if k <= size], [note] if beyond else []
    chosen = sorted(set(ks))
    if not chosen or chosen[0] < 1:
        raise ValueError(f"k is {list(ks)}; expected whole numbers of at least 1")
    if chosen[-1] > size:
        raise DataError(source, f"found {size} passages for k = {chosen[-1]}; expected at least k, or a smaller k")
    return chosen, []


def _to_depth(ranking: Ranking, depth: int) -> Hits:
    """Room behind the distinct passages for their copies."""
    missing = depth - ranking.hits.rows.shape[1]
    return Hits(
        np.pad(ranking.hits.rows, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(ranking.hits.scores, ((0, 0), (0, missing)), constant_values=-np.inf),
    )


def _holding_answers(dataset: Dataset, hits: Hits) -> list[dict[int, int]]:
    """The first passage of each query that holds an answer; further ones decide nothing that is measured."""
    right: list[dict[int, int]] = []
    for rows, answers in zip(hits.rows.tolist(), dataset.answers or [], strict=True):
        found = (row for row in rows if row >= 0 and has_answer(dataset.corpus[row].text, answers))
        first = next(found, None)
        right.append({} if first is None else {first: 1})
    return right
