"""What a pair finds by the kind of question and passage: `python benchmarks/kinds_of_questions.py BEIR_FOLDER...`.

Prints hit@1 and hit@5, in percent, of BM25, the pair and their blend on these parts of each data set:

- number: the question holds a digit;
- rare name: a word of the question has four pieces or more in the pair's vocabulary;
- long passage: every passage that answers has more than 200 words;
- other: none of these.

A question may be in several parts; parts of fewer than 20 questions are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.data.dataset import Dataset
from dpr_tiny_retriever.data.load_dataset import load_dataset
from dpr_tiny_retriever.evaluation import BM25, Dense, evaluate

LONG, PIECES, FEWEST = 200, 4, 20


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path, help="folders in BEIR's layout")
    parser.add_argument("--model", help="a preset, a folder or a hub id (default: the bundled pair)")
    arguments = parser.parse_args()
    pair = DualEncoder.from_pretrained(arguments.model)
    for path in arguments.datasets:
        dataset = load_dataset(path, protocol="beir")
        results = evaluate(dataset, [BM25(), Dense("pair", pair)], blend=True).results
        kinds = [set(kinds_of(dataset, query, pair)) for query in range(len(dataset.queries))]
        print(f"\n| {path.name} | questions | {' | '.join(result.name for result in results)} |")
        print("| --- " * (2 + len(results)) + "|")
        for kind in ("number", "rare name", "long passage", "other"):
            chosen = np.array([kind in its for its in kinds])
            if chosen.sum() >= FEWEST:
                shares = (" ".join(percents(result.first_ranks[chosen])) for result in results)
                print(f"| {kind} | {chosen.sum()} | {' | '.join(shares)} |")


def kinds_of(dataset: Dataset, query: int, pair: DualEncoder) -> list[str]:
    """Return the parts that a question belongs to."""
    question = dataset.queries[query]
    tokenizer = pair.query_encoder.tokenizer.tokenizer
    answers = [row for row, grade in (dataset.relevant or [])[query].items() if grade > 0 and row >= 0]
    tests = {
        "number": any(character.isdigit() for character in question),
        "rare name": any(len(tokenizer.encode(word, add_special_tokens=False)) >= PIECES for word in question.split()),
        "long passage": bool(answers) and min(len(dataset.corpus[row].text.split()) for row in answers) > LONG,
    }
    return [kind for kind, holds in tests.items() if holds] or ["other"]


def percents(first_ranks: np.ndarray) -> Iterator[str]:
    """Yield hit@1 and hit@5 of these questions."""
    for k in (1, 5):
        yield f"{100 * np.mean((first_ranks > 0) & (first_ranks <= k)):.1f}"


if __name__ == "__main__":
    main()
