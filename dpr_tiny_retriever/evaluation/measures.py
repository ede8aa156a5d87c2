"""Measures of a ranking: hit@k, recall@k, MRR@10, nDCG@10 and MAP, by ir-measures over trec_eval."""

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
    """Means over all queries of hit@k, recall@k, MRR@10, nDCG@10 and MAP, as fractions.

    hit@k: any relevant passage is among the first k; recall@k: the share of them that is; nDCG: the gain is
    the grade, the discount log2; MAP: over all that was found. relevant gives row -> grade for each query;
    above 0 is relevant, and rows that no hit can have lower the recall.
    """
    named = {f"hit@{k}": ir_measures.Success @ k for k in ks} | {f"recall@{k}": ir_measures.R @ k for k in ks}
    named |= {"mrr@10": ir_measures.RR @ 10, "ndcg@10": ir_measures.nDCG @ 10, "map": ir_measures.AP}
    values = _means(hits, relevant, list(named.values()))
    return {name: values[what] for name, what in named.items()}


def measure_first(hits: Hits, relevant: Sequence[dict[int, int]], ks: Sequence[int] = KS) -> dict[str, float]:
    """As measure, only what the first right passage decides: hit@k and MRR@10.

    That is all that can be known where the right passages are not listed but recognised by their answers.
    """
    named = {f"hit@{k}": ir_measures.Success @ k for k in ks} | {"mrr@10": ir_measures.RR @ 10}
    values = _means(hits, relevant, list(named.values()))
    return {name: values[what] for name, what in named.items()}


def first_ranks(hits: Hits, relevant: Sequence[dict[int, int]]) -> NDArray[np.int32]:
    """The rank, from 1, of the first relevant passage of each query [q]; 0 where none was found."""
    ranks = np.zeros(len(relevant), np.int32)
    for query, grades in enumerate(relevant):
        right = [row for row, grade in grades.items() if grade > 0 and row >= 0]
        at = np.flatnonzero(np.isin(hits.rows[query], right))
        ranks[query] = at[0] + 1 if len(at) else 0
    return ranks


def _means(
    hits: Hits, relevant: Sequence[dict[int, int]], measures: list[ir_measures.Measure]
) -> dict[ir_measures.Measure, float]:
    sums: dict[ir_measures.Measure, float] = defaultdict(float)
    depth = hits.rows.shape[1]
    # trec_eval orders by score and, among equal scores, by name. Scores that fall with the rank keep our order.
    falling = [float(depth - rank) for rank in range(depth)]
    for part in blocks(len(relevant), _QUERY_BLOCK):
        judged, run = {}, {}
        for query in range(part.start, part.stop):
            grades = relevant[query]
            # What stands behind the last judged passage changes no measure: most of a ranking need not be looked at.
            seen = np.flatnonzero(np.isin(hits.rows[query], [row for row in grades if row >= 0]))
            found = hits.rows[query, : seen[-1] + 1 if len(seen) else 0].tolist()
            judged[str(query)] = {str(row): grade for row, grade in grades.items()}
            run[str(query)] = {str(row): score for row, score in zip(found, falling, strict=False)}
        for value in ir_measures.iter_calc(measures, judged, run):
            sums[value.measure] += value.value
    return {what: sums[what] / len(relevant) for what in measures}
