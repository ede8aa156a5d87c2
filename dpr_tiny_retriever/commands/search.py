"""The commands `dpr-tiny search` and `dpr-tiny demo`."""

from __future__ import annotations

import hashlib
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.data.text_files import Text, read_folder, read_python_reference

if TYPE_CHECKING:
    from dpr_tiny_retriever.retrieval.passage_index import Index

DEMO_QUESTIONS = (
    "How do I make sure that a file is closed when something goes wrong?",
    "What happens to default argument values that are lists?",
    "Which object is returned by a function without a return statement?",
    "How can a class decide what its attributes look like when they do not exist?",
)

Model = Annotated[str | None, typer.Option(help="A preset, a folder or a hub id; without it the bundled pair.")]
TopK = Annotated[int, typer.Option(min=1, help="Passages shown for each question.")]
IndexFolder = Annotated[
    Path | None,
    typer.Option("--index", help="Where the index is kept; without it, in the user's cache."),
]
Questions = Annotated[
    list[str] | None,
    typer.Argument(help="Questions; without any they are read line by line from the terminal or standard input."),
]


def search(
    folder: Annotated[Path, typer.Argument(help="A folder of .txt and .md files.")],
    questions: Questions = None,
    model: Model = None,
    top_k: TopK = 3,
    index: IndexFolder = None,
) -> None:
    """Find passages in the .txt and .md files of a folder, indexed once and kept up to date."""
    texts = read_folder(folder)
    place = index or user_cache("search") / hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()
    with _opened(place, model, texts) as opened:
        for question in questions or _typed():
            _answer(opened, question, top_k)


def demo(
    questions: Questions = None,
    model: Model = None,
    top_k: TopK = 2,
    index: IndexFolder = None,
) -> None:
    """Answer questions about the Python language reference, which every Python carries."""
    texts = read_python_reference()
    with _opened(index or user_cache("search") / "python-reference", model, texts) as opened:
        for question in questions or DEMO_QUESTIONS:
            _answer(opened, question, top_k)


@contextmanager
def _opened(place: Path, model: str | None, texts: list[Text]) -> Iterator[Index]:
    """Load the model, open the index, and bring it up to date."""
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.retrieval.passage_index import Index

    encoder = DualEncoder.from_pretrained(model)
    with closing(Index(place, encoder)) as index:
        encoder.warm_up(bulk=not len(index))
        start = time.perf_counter()
        encoded = index.update(texts)
        seconds = time.perf_counter() - start
        typer.echo(f"{len(index):,} passages of {len(texts):,} texts in {place}")
        if encoded:
            typer.echo(f"{encoded:,} passages encoded in {seconds:.1f} s ({encoded / seconds:,.0f} a second)")
        yield index


def _answer(index: Index, question: str, top_k: int) -> None:
    start = time.perf_counter()
    hits = index.search(question, top_k=top_k)
    milliseconds = 1000 * (time.perf_counter() - start)
    typer.secho(f"\n{question}  ({milliseconds:.0f} ms)", bold=True)
    for rank, hit in enumerate(hits, 1):
        typer.echo(f"{rank:3}. {hit.score:.3f}  {hit.title}  [{hit.source}]")
        shown = textwrap.shorten(hit.text, 300, placeholder=" ...")
        typer.echo(textwrap.fill(shown, 100, initial_indent=" " * 5, subsequent_indent=" " * 5))


def _typed() -> Iterable[str]:
    """Questions line by line: of somebody who types them, after a prompt, up to an empty line; of a file all."""
    typed = sys.stdin.isatty()
    while True:
        if typed:
            typer.secho("\nQuestion (an empty line ends): ", bold=True, nl=False)
        line = sys.stdin.readline()
        if line.strip():
            yield line.strip()
        elif typed or not line:
            return
