"""Calibrates the cosine below which nothing is found: `python benchmarks/threshold.py --foreign FILE BEIR_FOLDER...`.

Every question is asked twice: of its own corpus, which holds an answer, and of the foreign corpus, which should hold
none. At each threshold, a search whose best passage reaches it has found something:

- recall: of the questions whose corpus holds an answer, the share that finds something;
- precision: of the searches that find something, the share whose corpus holds an answer;
- right: of the questions that find something in their own corpus, the share whose best passage is a relevant one.

The threshold for users is the largest whose mean recall over the data sets is at least 95 %: a filter that drops
answers is worse than none. The one of the largest mean F1 of precision and recall is printed beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.data.load_dataset import load_dataset
from dpr_tiny_retriever.data.passage_files import add_passages
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.retrieval.nearest_neighbours import Hits, exact_search
from dpr_tiny_retriever.types import Vectors

RECALL = 0.95
THRESHOLDS = np.round(np.arange(0.2, 0.81, 0.05), 2)


class Best(NamedTuple):
    """The best passage of each question of a data set; all [q]."""

    name: str
    cosines: NDArray[np.float32]
    is_relevant: NDArray[np.bool_]
    foreign_cosines: NDArray[np.float32]


class Figures(NamedTuple):
    """Of one data set at one threshold."""

    precision: float
    recall: float
    right: float

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / (self.precision + self.recall or 1.0)


def main() -> None:
    """Print a table of thresholds for each data set, and the one to choose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path, help="folders in BEIR's layout")
    parser.add_argument("--foreign", required=True, type=Path, help="passages that answer none of the questions")
    parser.add_argument("--model", help="a pair whose vectors have unit length (default: the bundled pair)")
    arguments = parser.parse_args()
    encoder = DualEncoder.from_pretrained(arguments.model)
    if not encoder.normalize:
        parser.error(f"the vectors of {arguments.model!r} do not have unit length; expected a pair with cosines")
    foreign = PassageStore()
    add_passages(foreign, arguments.foreign)
    foreign_vectors = encoder.encode_passages(foreign.passages(range(len(foreign))))
    measured = [best_passages(encoder, folder, foreign_vectors) for folder in arguments.datasets]
    print(table(measured))
    fine = np.round(np.arange(0.2, 0.81, 0.01), 2)
    kept = max(threshold for threshold in fine if mean_recall(measured, threshold) >= RECALL)
    print(f"\nlargest with a mean recall of {RECALL:.0%}: {kept:.2f}")
    balanced = max(fine, key=lambda threshold: mean_f1(measured, threshold))
    print(f"largest mean F1: {balanced:.2f}")


def best_passages(encoder: DualEncoder, folder: Path, foreign_vectors: Vectors) -> Best:
    """Search a data set's corpus and the foreign one for the best passage of each question."""
    dataset = load_dataset(folder, protocol="beir")
    assert dataset.relevant is not None
    queries = encoder.encode_queries(dataset.queries)
    own: Hits = exact_search(queries, encoder.encode_passages(dataset.corpus), 1)
    foreign: Hits = exact_search(queries, foreign_vectors, 1)
    relevant = [judged.get(int(row), 0) > 0 for judged, row in zip(dataset.relevant, own.rows[:, 0], strict=True)]
    return Best(dataset.name, own.scores[:, 0], np.array(relevant), foreign.scores[:, 0])


def figures(best: Best, threshold: float) -> Figures:
    """Return the figures of one data set at one threshold."""
    found, wrongly_found = best.cosines >= threshold, best.foreign_cosines >= threshold
    total = int(found.sum() + wrongly_found.sum())
    return Figures(
        precision=float(found.sum()) / max(total, 1),
        recall=float(found.mean()),
        right=float(best.is_relevant[found].mean()) if found.any() else float("nan"),
    )


def mean_recall(measured: list[Best], threshold: float) -> float:
    """Return the mean recall of all data sets."""
    return float(np.mean([figures(best, threshold).recall for best in measured]))


def mean_f1(measured: list[Best], threshold: float) -> float:
    """Return the mean F1 of all data sets."""
    return float(np.mean([figures(best, threshold).f1 for best in measured]))


def table(measured: list[Best]) -> str:
    """Return a Markdown table: precision / recall / right, in percent, by threshold and data set."""
    lines = [
        "| threshold | " + " | ".join(f"{best.name} ({len(best.cosines)})" for best in measured) + " | mean F1 |",
        "| --- " * (len(measured) + 2) + "|",
    ]
    for threshold in THRESHOLDS:
        cells = [" / ".join(f"{100 * value:.1f}" for value in figures(best, threshold)) for best in measured]
        lines.append(f"| {threshold:.2f} | {' | '.join(cells)} | {100 * mean_f1(measured, threshold):.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
