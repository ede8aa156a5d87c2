"""What was found for a question: shown to people, and as a record for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from dpr_tiny_retriever.commands.console import marked, say, write
from dpr_tiny_retriever.types import SearchMode
from dpr_tiny_retriever.visible_text import visible

if TYPE_CHECKING:
    from dpr_tiny_retriever.retrieval.passage_index import FoundPassage

#: Characters of a passage that are shown.
_SHOWN_CHARS = 300
_WIDTH = 100
_INDENT = " " * 5


@dataclass(frozen=True)
class AnswerPassage:
    """A passage that was found."""

    rank: int
    score: float
    """What the passages are ordered by: the blend's sum, the vectors' similarity, or BM25."""
    source: str
    """The file, within the folder."""
    line: int | None
    """On which it begins, from 1."""
    title: str
    text: str
    words: list[str]
    """The words of the question that stand in it."""
    dense_rank: int | None
    """Where it stood among the best by vector, and by words below; None where it is not among them."""
    dense_score: float | None
    bm25_rank: int | None
    bm25_score: float | None


@dataclass(frozen=True)
class Answer:
    """What was found for a question, best first."""

    question: str
    mode: SearchMode
    near: bool
    """False where even the best passage is far from the question."""
    passages: list[AnswerPassage]


def answer(question: str, mode: SearchMode, found: Sequence[FoundPassage]) -> Answer:
    """The record of what was found."""
    passages = [
        AnswerPassage(
            rank,
            hit.score,
            hit.passage.source,
            hit.passage.metadata.get("line"),
            hit.passage.title,
            hit.passage.text,
            hit.words,
            **hit.placement._asdict(),
        )
        for rank, hit in enumerate(found, 1)
    ]
    return Answer(question, mode, bool(found), passages)


def write_json(answer: Answer) -> None:
    """Write one line of JSON to standard output, in ASCII, which every terminal and file can take."""
    write(json.dumps(asdict(answer)).replace("\x7f", "\\u007f"))


def show(answer: Answer, *, milliseconds: float, explain: bool) -> None:
    """Write an answer to standard output, the words of the question in bold on a terminal."""
    say(f"\n{answer.question}  ({milliseconds:.0f} ms)", bold=True)
    for one in answer.passages:
        place = one.source if one.line is None else f"{one.source}:{one.line}"  # as editors understand it
        title = marked(_one_line(one.title), one.words)
        write(f"{one.rank:3}. {one.score:.3f}  {title}  [{visible(_one_line(place))}]")
        shown = _beginning(_one_line(visible(one.text)))
        write(marked(textwrap.fill(shown, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT), one.words))
        if explain:
            say(f"{_INDENT}{_reasons(one)}")


def _reasons(one: AnswerPassage) -> str:
    """Where a passage stood in each list, and the words that matched."""
    by_vector = _placed("by vector", one.dense_rank, one.dense_score)
    by_words = _placed("by words", one.bm25_rank, one.bm25_score)
    return f"{by_vector}; {by_words}; words: {', '.join(one.words) or 'none'}"


def _placed(how: str, rank: int | None, score: float | None) -> str:
    return f"{how} not found" if rank is None else f"{how} {rank}. ({score:.3f})"


def _beginning(text: str) -> str:
    """Up to 300 characters: whole words where there are blanks, for not every script has them."""
    if len(text) <= _SHOWN_CHARS:
        return text
    words = text[:_SHOWN_CHARS].rpartition(" ")[0]
    return f"{words if len(words) > _SHOWN_CHARS // 2 else text[:_SHOWN_CHARS]} ..."


def _one_line(text: str) -> str:
    return " ".join(text.split())
