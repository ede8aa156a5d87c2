"""Measures of a ranking: hit@k, recall@k, MRR@10, nDCG@10 and MAP, computed by ir-measures with trec_eval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import ir_measures
import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.passage_store import blocks
from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits

KS = (1, 5, 10, 20, 50, 100, 1000)

_QUERY_BLOCK = 500


def measure(hits: Hits, relevant: Sequence[dict[int, int]], ks: Sequence[int] = KS) -> dict[str, float]:
    """Return the means over all queries of hit@k, recall@k, MRR@10, nDCG@10 and MAP, as fractions.

    hit@k: whether a relevant passage is among the first k. recall@k: the share of the relevant passages that are. nDCG:
    the gain is the grade, the discount is log2. MAP: over the whole ranking. relevant has row -> grade for each query;
    a grade above 0 is relevant. Relevant passages outside the corpus (negative rows) lower the recall.
    """
    chosen = _hits_at(ks) | {f"recall@{k}": ir_measures.R @ k for k in ks} | {"mrr@10": ir_measures.RR @ 10}
    return _means(hits, relevant, chosen | {"ndcg@10": ir_measures.nDCG @ 10, "map": ir_measures.AP})


def measure_first(hits: Hits, relevant: Sequence[dict[int, int]], ks: Sequence[int] = KS) -> dict[str, float]:
    """Like measure, but only what the first relevant passage determines: hit@k and MRR@10.

    The others are unknown where relevant passages are not judged but recognized by an answer.
    """
    return _means(hits, relevant, _hits_at(ks) | {"mrr@10": ir_measures.RR @ 10})


def first_ranks(hits: Hits, relevant: Sequence[dict[int, int]]) -> NDArray[np.int32]:
    """Return the rank, from 1, of the first relevant passage of each query [q]; 0 where none was found."""
    ranks = np.zeros(len(relevant), np.int32)
    for query, grades in enumerate(relevant):
        rows = [row for row, grade in grades.items() if grade > 0 and row >= 0]
        positions = np.flatnonzero(np.isin(hits.rows[query], rows))
        ranks[query] = positions[0] + 1 if len(positions) else 0
    return ranks


def _hits_at(ks: Sequence[int]) -> dict[str, ir_measures.Measure]:
    return {f"hit@{k}": ir_measures.Success @ k for k in ks}


def _means(
    hits: Hits, relevant: Sequence[dict[int, int]], measures: dict[str, ir_measures.Measure]
) -> dict[str, float]:
    sums: dict[ir_measures.Measure, float] = defaultdict(float)
    depth = hits.rows.shape[1]
    # trec_eval ranks by score, and equal scores by name. Scores made from the rank keep the order of the hits.
    descending = [float(depth - rank) for rank in range(depth)]
    for part in blocks(len(relevant), _QUERY_BLOCK):
        judgments, rankings = {}, {}
        for query in range(part.start, part.stop):
            grades = relevant[query]
            # What is ranked below the last judged passage changes no measure and is left out, for speed.
            judged = np.flatnonzero(np.isin(hits.rows[query], [row for row in grades if row >= 0]))
            rows = hits.rows[query, : judged[-1] + 1 if len(judged) else 0].tolist()
            judgments[str(query)] = {str(row): grade for row, grade in grades.items()}
            rankings[str(query)] = {str(row): score for row, score in zip(rows, descending, strict=False)}
        for value in ir_measures.iter_calc(list(measures.values()), judgments, rankings):
            sums[value.measure] += value.value
    return {name: sums[measure] / len(relevant) for name, measure in measures.items()}
