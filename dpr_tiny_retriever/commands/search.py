"""The commands `dpr-tiny search` and `dpr-tiny demo`: questions answered from an index that follows its texts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from dpr_tiny_retriever.commands.answers import find_answer, show, write_json
from dpr_tiny_retriever.commands.console import note, say
from dpr_tiny_retriever.commands.folder_index import (
    FolderIndex,
    Texts,
    folder_texts,
    open_index,
    reference_texts,
    update_lines,
)
from dpr_tiny_retriever.commands.options import AllFolders, Backend, Folder, IndexPath, Model, Threads
from dpr_tiny_retriever.types import SearchMode

DEMO_QUESTIONS = (
    "How do I make sure that a file is closed when something goes wrong?",
    "What happens to default argument values that are lists?",
    "Which object is returned by a function without a return statement?",
    "How can a class decide what its attributes look like when they do not exist?",
)

TopK = Annotated[int, typer.Option(min=1, help="Passages shown for each question.")]
Questions = Annotated[
    list[str] | None,
    typer.Argument(help="Questions; without any they are read line by line from the terminal or standard input."),
]
Mode = Annotated[
    SearchMode,
    typer.Option(help="By vectors and words together, by vectors alone, or by words alone.", case_sensitive=False),
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Say where each passage stood by vector and by words, and which words matched."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write one JSON object a question, and nothing else, to standard output.")
]


def search(
    folder: Folder,
    questions: Questions = None,
    model: Model = None,
    top_k: TopK = 3,
    mode: Mode = "blend",
    explain: Explain = False,
    as_json: Json = False,
    index: IndexPath = None,
    backend: Backend = "auto",
    threads: Threads = None,
    all_folders: AllFolders = False,
) -> None:
    """Find passages in the .txt, .md, .rst and .html files of a folder, indexed once."""
    texts = folder_texts(folder, all_folders=all_folders)
    with open_index(folder, model, index, backend=backend, threads=threads) as opened:
        _serve(opened, texts, questions or _typed_questions(as_json), _Reply(top_k, mode, explain, as_json))


def demo(
    questions: Questions = None,
    model: Model = None,
    top_k: TopK = 2,
    mode: Mode = "blend",
    explain: Explain = False,
    as_json: Json = False,
    index: IndexPath = None,
    backend: Backend = "auto",
    threads: Threads = None,
) -> None:
    """Answer questions about the Python language reference, which every Python carries."""
    with open_index(None, model, index, backend=backend, threads=threads) as opened:
        _serve(opened, reference_texts(), questions or DEMO_QUESTIONS, _Reply(top_k, mode, explain, as_json))


@dataclass(frozen=True)
class _Reply:
    """How questions are to be answered."""

    top_k: int
    mode: SearchMode
    explain: bool
    as_json: bool


def _serve(index: FolderIndex, texts: Texts, questions: Iterable[str], reply: _Reply) -> None:
    """Bring the index up to date, say what there is, and answer."""
    tell = note if reply.as_json else say
    for line in update_lines(index.bring_up_to_date(texts), index.path):
        tell(line)
    for question in questions:
        begin = time.perf_counter()
        found = find_answer(index, question, reply.top_k, reply.mode)
        if reply.as_json:
            write_json(found)
        else:
            show(found, milliseconds=1000 * (time.perf_counter() - begin), explain=reply.explain)


def _typed_questions(as_json: bool) -> Iterator[str]:
    """Questions line by line: of somebody who types them, after a prompt, up to an empty line; of a file all."""
    typed = sys.stdin.isatty()
    while True:
        if typed:
            say("\nQuestion (an empty line ends): ", bold=True, end="", error=as_json)
        line = sys.stdin.readline()
        if line.strip():
            yield line.strip()
        elif typed or not line:
            return
