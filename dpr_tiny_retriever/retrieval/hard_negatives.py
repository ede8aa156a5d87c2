"""Hard negatives: passages that rank high for a question, by BM25 or by a pair, and do not answer it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.answer_matching import answer_tokens, has_answer
from dpr_tiny_retriever.data.examples import Example
from dpr_tiny_retriever.data.passage_files import add_passages
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.retrievers import BM25, Dense, Retriever

if TYPE_CHECKING:
    from dpr_tiny_retriever import DualEncoder


@dataclass(frozen=True)
class Mining:
    """What of a ranking makes hard negatives.

    ranks: the first and last rank (from 1) looked at, among the passages that are not positives; count: how many are
    taken, the best ranked first; margin: a passage counts only where the question's best positive scores at least so
    much higher (None: no matter); exclude_answers: not a passage that holds an answer of the question, as DPR matches
    answers; keep: append to the hard negatives that examples have, instead of replacing them.
    """

    ranks: tuple[int, int] = (1, 100)
    count: int = 7
    margin: float | None = None
    exclude_answers: bool = True
    keep: bool = False

    def __post_init__(self) -> None:
        first, last = self.ranks
        if not 1 <= first <= last:
            raise ValueError(f"ranks are {self.ranks}; expected the first and the last, from 1")
        if self.count < 1:
            raise ValueError(f"count is {self.count}; expected 1 or more")


def read_corpus(paths: Iterable[Path], *, skipped: SkippedRecords | None = None) -> PassageStore:
    """The passages of BEIR's corpus.jsonl or DPR's psgs.tsv, plain or .gz, on disk.

    A record that is no passage raises DataError, or is added to skipped and left out.
    """
    corpus = PassageStore()
    for path in paths:
        add_passages(corpus, path, skipped=skipped)
    return corpus


def mine_bm25(
    examples: Sequence[Example], corpus: Iterable[Passage], mining: Mining | None = None
) -> Iterator[Example]:
    """Yield the examples with hard negatives by BM25 from a corpus."""
    return _mined(examples, corpus, BM25(), mining or Mining())


def mine_dense(
    examples: Sequence[Example], corpus: Iterable[Passage], encoder: DualEncoder, mining: Mining | None = None
) -> Iterator[Example]:
    """Yield the examples with hard negatives by a pair of encoders from a corpus."""
    return _mined(examples, corpus, Dense("pair", encoder), mining or Mining())


def _mined(
    examples: Sequence[Example], passages: Iterable[Passage], retriever: Retriever, mining: Mining
) -> Iterator[Example]:
    if not examples:
        return
    corpus = PassageStore()
    corpus.begin_part(Path("the corpus to mine"))
    rows: dict[tuple[str, str], int] = {}
    # The positives stand in the searched corpus too, so that each has a score that the margin is measured from.
    for passage in (*passages, *(passage for example in examples for passage in example.positives)):
        content = passage.title or "", passage.text
        if content not in rows:
            rows[content] = len(rows)
            corpus.add(str(rows[content]), *content, line=len(rows))
    unique = corpus.unique_passages()
    most = max(len(example.positives) for example in examples)
    depth = min(mining.ranks[1] + most, len(rows))
    hits = retriever.rank([example.question for example in examples], corpus, unique, depth).hits
    for example, found, scores in zip(examples, hits.rows, hits.scores, strict=True):
        positives = {rows[passage.title or "", passage.text] for passage in example.positives}
        chosen = _chosen(example, found, scores, positives, corpus, mining)
        kept = example.hard_negatives if mining.keep else ()
        fresh = [passage for passage in chosen if passage not in kept]
        yield dataclasses.replace(example, hard_negatives=(*kept, *fresh))


def _chosen(
    example: Example,
    found: NDArray[np.int32],
    scores: NDArray[np.float32],
    positives: set[int],
    corpus: PassageStore,
    mining: Mining,
) -> list[Passage]:
    # A positive that is not among the found scores less than all of them.
    own = [score for row, score in zip(found.tolist(), scores.tolist(), strict=True) if row in positives]
    # One without words stands in every text.
    answers = [answer for answer in example.answers if answer_tokens(answer)] if mining.exclude_answers else []
    bound = np.inf if mining.margin is None else (max(own) - mining.margin if own else -np.inf)
    chosen: list[Passage] = []
    rank = 0
    for row, score in zip(found.tolist(), scores.tolist(), strict=True):
        if row < 0 or rank == mining.ranks[1] or len(chosen) == mining.count:
            break
        if row in positives:
            continue
        rank += 1
        if rank < mining.ranks[0] or score > bound:
            continue
        passage = corpus[row]
        if not has_answer(passage.text, answers):
            chosen.append(passage)
    return chosen
