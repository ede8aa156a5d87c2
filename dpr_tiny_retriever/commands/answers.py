"""What was found for a question: shown to people, and as a record for programs."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from dpr_tiny_retriever.commands.console import marked, say, write
from dpr_tiny_retriever.retrieval.bm25_words import bm25_words
from dpr_tiny_retriever.retrieval.fusion import NOTHING_NEAR
from dpr_tiny_retriever.types import SearchMode
from dpr_tiny_retriever.visible_text import visible

if TYPE_CHECKING:
    from dpr_tiny_retriever.commands.folder_index import FolderIndex
    from dpr_tiny_retriever.retrieval.passage_index import FoundPassage

#: Characters of a passage that are shown.
_SHOWN_CHARS = 300
#: Characters before the first word of the question, where not the beginning of a passage is shown.
_LEAD_CHARS = 60
_WIDTH = 100
#: How many passages are looked at for one that is near.
_LOOKED_AT = 20
_FAR = "Nothing near: the best passage is far from the question, so probably none of these answers it."
_NOTHING = "Nothing near: there is no passage that has a word of the question."
_INDENT = " " * 5
_WORD = re.compile(r"\w+")


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


def find_answer(index: FolderIndex, question: str, top_k: int, mode: SearchMode) -> Answer:
    """Search an index that has been brought up to date; raises ValueError for a top_k below 1."""
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected at least 1")
    # Somewhat more than is shown: of a blend's first, the nearest by vector need not be one.
    found = index.search(question, max(top_k, _LOOKED_AT), mode)
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
        for rank, hit in enumerate(found[:top_k], 1)
    ]
    return Answer(question, mode, is_near(question, found, cosine=index.scores_are_cosines), passages)


def is_near(question: str, found: Sequence[FoundPassage], *, cosine: bool) -> bool:
    """Whether one of these passages may answer the question: by its vector, or since it has all words of the question.

    Unless the vectors are compared by the cosine, whatever is found is taken to be near.
    """
    cosines = [hit.placement.dense_score for hit in found if hit.placement.dense_score is not None]
    if not (cosine and cosines):
        return bool(found)
    words = set(bm25_words(question))
    return max(cosines) >= NOTHING_NEAR or any(words and words <= set(hit.words) for hit in found)


def write_json(answer: Answer) -> None:
    """Write one line of JSON to standard output, in ASCII, which every terminal and file can take."""
    write(json.dumps(asdict(answer)).replace("\x7f", "\\u007f"))


def show(answer: Answer, *, milliseconds: float, explain: bool) -> None:
    """Write an answer to standard output, the words of the question in bold on a terminal."""
    say(f"\n{answer.question}  ({milliseconds:.0f} ms)", bold=True)
    if not answer.near:
        say(_FAR if answer.passages else _NOTHING)
    for one in answer.passages:
        place = one.source if one.line is None else f"{one.source}:{one.line}"  # as editors understand it
        title = marked(_one_line(one.title), one.words)
        write(f"{one.rank:3}. {one.score:.3f}  {title}  [{visible(_one_line(place))}]")
        shown = _excerpt(_one_line(visible(one.text)), one.words)
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


def _excerpt(text: str, words: Sequence[str]) -> str:
    """Up to 300 characters: the beginning, or a later part where that has more of the words."""
    found = [(match.start(), match[0].lower()) for match in _WORD.finditer(text) if match[0].lower() in words]

    def different_words(start: int) -> int:
        return len({word for at, word in found if start <= at <= start + _SHOWN_CHARS - len(word)})

    starts = [0, *(text.rfind(" ", 0, max(0, at - _LEAD_CHARS)) + 1 for at, _ in found)]
    best = max(starts, key=different_words)
    return f"... {_beginning(text[best:])}" if best else _beginning(text)


def _beginning(text: str) -> str:
    """Up to 300 characters: whole words where there are blanks, for not every script has them."""
    if len(text) <= _SHOWN_CHARS:
        return text
    words = text[:_SHOWN_CHARS].rpartition(" ")[0]
    return f"{words if len(words) > _SHOWN_CHARS // 2 else text[:_SHOWN_CHARS]} ..."


def _one_line(text: str) -> str:
    return " ".join(text.split())
