"""Data set and retrievers -> results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.answer_matching import has_answer
from dpr_tiny_retriever.data.data_files import DataError
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.passage_store import UniquePassages
from dpr_tiny_retriever.evaluation.fused_rankings import blend_as_index, fuse_by_rank
from dpr_tiny_retriever.evaluation.measures import KS, first_ranks, measure, measure_first
from dpr_tiny_retriever.retrieval.fusion import LIST_LENGTH
from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits, expand_duplicates
from dpr_tiny_retriever.retrieval.retrievers import Ranking, Retriever

DEPTH = 1000  # passages ranked for each query: MAP is computed over these

Kind: TypeAlias = Literal["dense", "bm25", "fusion", "blend"]


@dataclass(frozen=True)
class Result:
    """One retriever's figures on one data set."""

    name: str
    kind: Kind
    measures: dict[str, float]
    """Fractions, not percent."""
    first_ranks: NDArray[np.int32]
    """[q]: rank of the first relevant passage, from 1; 0 where none was found."""
    hits: Hits
    seconds: dict[str, float]
    notes: list[str]


@dataclass(frozen=True)
class Evaluation:
    """The figures of all retrievers on one data set."""

    dataset: Dataset
    ks: tuple[int, ...]
    results: list[Result]
    notes: list[str]


def evaluate(
    dataset: Dataset,
    retrievers: Sequence[Retriever],
    *,
    ks: Sequence[int] | None = None,
    fusion: bool = False,
    blend: bool = False,
    ignore_identical_ids: bool = False,
) -> Evaluation:
    """Rank the passages with each retriever and measure the rankings.

    fusion adds each dense retriever fused with BM25 by reciprocal rank. blend adds what PassageIndex.search finds with
    the same model, whatever the dense retriever itself compares vectors by: hit@k and recall@k are those of a search
    with top_k=k, the other measures those of its first 100. ks None takes those of KS that the corpus has enough
    passages for. ignore_identical_ids leaves a passage with a query's own id out of what is found for it, as BEIR's
    figures for Quora and ArguAna do, whose queries stand in their corpus. Raises DataError where a k exceeds the
    corpus, ValueError for repeated names or fusion without BM25 and a dense one.
    """
    _check_retrievers(retrievers, needs_both=fusion or blend)
    chosen, notes = _checked_ks(ks, dataset)
    own_rows, own_notes = _own_rows(dataset, ignored=ignore_identical_ids)
    unique = dataset.corpus.unique_passages()
    depth = min(len(dataset.corpus), max(DEPTH, *chosen) + ignore_identical_ids)
    ranked = []
    for retriever in retrievers:
        ranking = retriever.rank(dataset.queries, dataset.corpus, unique, min(depth, len(unique.first)))
        ranked.append((retriever, _without(_of_all_rows(ranking, unique, depth), own_rows)))
    results = [_result(dataset, one.name, one.kind, ranking, chosen) for one, ranking in ranked]
    for sparse, sparse_ranking in ranked:
        for dense, dense_ranking in ranked:
            if (sparse.kind, dense.kind) != ("bm25", "dense"):
                continue
            name = f"{dense.name} + {sparse.name}"
            if fusion:
                by_rank = fuse_by_rank(dense_ranking, sparse_ranking)
                results.append(_result(dataset, f"{name}, by rank", "fusion", by_rank, chosen))
            if blend:
                results.append(_blended(dataset, f"{name}, blended", dense_ranking, sparse_ranking, chosen))
    return Evaluation(dataset, tuple(chosen), results, [*dataset.notes, *own_notes, *notes])


def _result(dataset: Dataset, name: str, kind: Kind, ranking: Ranking, ks: Sequence[int]) -> Result:
    hits = ranking.hits
    relevant = dataset.relevant if dataset.relevant is not None else _first_answering(dataset, hits)
    measures = (measure if dataset.relevant is not None else measure_first)(hits, relevant, ks)
    return Result(name, kind, measures, first_ranks(hits, relevant), hits, ranking.seconds, ranking.notes)


def _blended(dataset: Dataset, name: str, dense: Ranking, sparse: Ranking, ks: Sequence[int]) -> Result:
    """The blend's figures; a search for more than LIST_LENGTH passages has longer lists of candidates."""
    length = min(LIST_LENGTH, len(dataset.corpus))
    result = _result(dataset, name, "blend", blend_as_index(dense, sparse, length), ks)
    for k in (k for k in ks if k > length):
        longer = _result(dataset, name, "blend", blend_as_index(dense, sparse, k), [k])
        result.measures.update({at: longer.measures[at] for at in result.measures if at.endswith(f"@{k}")})
    return result


def _of_all_rows(ranking: Ranking, unique: UniquePassages, depth: int) -> Ranking:
    """The ranking of unique passages as one of all rows, duplicates behind each other."""
    indexed = None if ranking.indexed is None else expand_duplicates(_padded(ranking.indexed, depth), unique)
    return replace(ranking, hits=expand_duplicates(_padded(ranking.hits, depth), unique), indexed=indexed)


def _own_rows(dataset: Dataset, *, ignored: bool) -> tuple[NDArray[np.int32] | None, list[str]]:
    """The rows to leave out, [q], None for none, and what to say about queries that stand in their corpus."""
    if ignored and dataset.own_rows is None:
        raise ValueError(f"found ignore_identical_ids with the protocol {dataset.protocol}; expected it with beir")
    own = [(query, row) for query, row in zip(dataset.queries, dataset.own_rows or [], strict=False) if row >= 0]
    if ignored:
        note = f"{len(own)} queries have the id of a passage, which is left out of their results"
        return np.array(dataset.own_rows, np.int32), [note]
    count = sum(dataset.corpus[row].text == query for query, row in own)
    note = f"{count} queries stand in the corpus and find themselves; --ignore-identical-ids leaves them out"
    return None, [note] if count else []


def _without(ranking: Ranking, own_rows: NDArray[np.int32] | None) -> Ranking:
    """The ranking without one row, or -1, of each query."""
    if own_rows is None:
        return ranking

    def remaining(hits: Hits) -> Hits:
        is_left = hits.rows != own_rows[:, None]
        order = np.argsort(~is_left, axis=1, kind="stable")
        rows, scores = np.where(is_left, hits.rows, -1), np.where(is_left, hits.scores, np.float32(-np.inf))
        return Hits(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))

    indexed = None if ranking.indexed is None else remaining(ranking.indexed)
    return replace(ranking, hits=remaining(ranking.hits), indexed=indexed)


def _check_retrievers(retrievers: Sequence[Retriever], *, needs_both: bool) -> None:
    if not retrievers:
        raise ValueError("no retrievers are given; expected at least one")
    names = [retriever.name for retriever in retrievers]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"found two retrievers named {', '.join(repeated)}; expected different names")
    if needs_both and not {"bm25", "dense"} <= {retriever.kind for retriever in retrievers}:
        raise ValueError(f"fusion found {names}; expected BM25 and a dense retriever")


def _checked_ks(ks: Sequence[int] | None, dataset: Dataset) -> tuple[list[int], list[str]]:
    size, source = len(dataset.corpus), dataset.corpus.sources[0]
    if ks is None:
        too_large = [k for k in KS if k > size]
        note = f"{source}: {size} passages in all, so no figures for k = {', '.join(map(str, too_large))}"
        return [k for k in KS if k <= size], [note] if too_large else []
    chosen = sorted(set(ks))
    if not chosen or chosen[0] < 1:
        raise ValueError(f"k is {list(ks)}; expected whole numbers of at least 1")
    if chosen[-1] > size:
        raise DataError(source, f"found {size} passages for k = {chosen[-1]}; expected at least k, or a smaller k")
    return chosen, []


def _padded(hits: Hits, depth: int) -> Hits:
    """Make room for duplicates after the unique passages."""
    missing = depth - hits.rows.shape[1]
    return Hits(
        np.pad(hits.rows, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(hits.scores, ((0, 0), (0, missing)), constant_values=-np.inf),
    )


def _first_answering(dataset: Dataset, hits: Hits) -> list[dict[int, int]]:
    """The first hit of each query that holds an answer: later ones change no measure of this protocol."""
    relevant: list[dict[int, int]] = []
    for rows, answers in zip(hits.rows.tolist(), dataset.answers or [], strict=True):
        answering = (row for row in rows if row >= 0 and has_answer(dataset.corpus[row].text, answers))
        first = next(answering, None)
        relevant.append({} if first is None else {first: 1})
    return relevant
