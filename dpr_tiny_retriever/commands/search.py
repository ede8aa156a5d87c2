"""The commands `dpr-tiny search` and `dpr-tiny demo`: reading texts, keeping an index of them, answering questions."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.commands.console import note, say, visible
from dpr_tiny_retriever.commands.options import Backend, Threads

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.text_files import Text, Unreadable
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.encoder import Encoder
    from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
    from dpr_tiny_retriever.retrieval.passage_index import PassageIndex
    from dpr_tiny_retriever.types import BackendName

DEMO_QUESTIONS = (
    "How do I make sure that a file is closed when something goes wrong?",
    "What happens to default argument values that are lists?",
    "Which object is returned by a function without a return statement?",
    "How can a class decide what its attributes look like when they do not exist?",
)
#: Characters of a passage that are shown.
_SHOWN_CHARS = 300
#: Unreadable files that are named one by one.
_NAMED_UNREADABLE = 10

Model = Annotated[str | None, typer.Option(help="A preset, a folder or a hub id; without it the bundled pair.")]
TopK = Annotated[int, typer.Option(min=1, help="Passages shown for each question.")]
IndexPath = Annotated[
    Path | None,
    typer.Option("--index", help="The file that keeps the index; without it, one in the user's cache."),
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
    index: IndexPath = None,
    backend: Backend = "auto",
    threads: Threads = None,
    all_folders: Annotated[
        bool, typer.Option("--all-folders", help="Also read hidden folders, node_modules and the like.")
    ] = False,
) -> None:
    """Find passages in the .txt and .md files of a folder, indexed once and kept up to date."""
    texts = _folder_texts(folder, all_folders)
    key = _digest(str(folder.resolve()))
    encoder = _load(model, backend, threads)
    _serve(texts, encoder, model, index, key, questions or _typed_questions(), top_k)


def demo(
    questions: Questions = None,
    model: Model = None,
    top_k: TopK = 2,
    index: IndexPath = None,
    backend: Backend = "auto",
    threads: Threads = None,
) -> None:
    """Answer questions about the Python language reference, which every Python carries."""
    encoder = _load(model, backend, threads)
    _serve(_reference_texts(), encoder, model, index, "python-reference", questions or DEMO_QUESTIONS, top_k)


# Reading


@dataclass(frozen=True)
class _Texts:
    """Texts to be indexed: the stamp of each source, and how the texts of some sources are read."""

    stamps: dict[str, str]
    unreadable: list[Unreadable]
    read: Callable[[set[str]], Iterable[Text | Unreadable]]


def _folder_texts(folder: Path, all_folders: bool) -> _Texts:
    from dpr_tiny_retriever.data.text_files import find_text_files, read_text_files

    files, unreadable = find_text_files(folder, all_folders=all_folders)
    stamps = {file.source: file.stamp for file in files}
    return _Texts(stamps, unreadable, lambda changed: read_text_files(file for file in files if file.source in changed))


def _reference_texts() -> _Texts:
    from dpr_tiny_retriever.data.text_files import SPLITTING_RULES, read_python_reference

    return _Texts({"help()": f"{SPLITTING_RULES} {sys.version}"}, [], lambda changed: read_python_reference())


def _passages(
    texts: Iterable[Text | Unreadable], unreadable: list[Unreadable], encoder: Encoder
) -> Iterator[IndexedPassage]:
    """Split texts into passages that the encoder reads whole; unreadable ones go into the list.

    An id is made of what a passage says: of two that say the same, the first is kept.
    """
    from dpr_tiny_retriever.data.text_files import Unreadable
    from dpr_tiny_retriever.data.text_passages import split
    from dpr_tiny_retriever.retrieval.index_file import IndexedPassage

    room = encoder.tokenizer.room(encoder.max_length)
    for text in texts:
        if isinstance(text, Unreadable):
            unreadable.append(text)
            continue
        seen = set[str]()
        for passage in split(text, room=room, count=encoder.tokenizer.count):
            content = "\0".join((text.source, passage.title, passage.text)).encode()
            id = hashlib.blake2b(content, digest_size=16).hexdigest()
            if id not in seen:
                seen.add(id)
                yield IndexedPassage(id, passage.title, passage.text, text.source, {"line": passage.line})


# Indexing


def _load(model: str | None, backend: BackendName, threads: int | None) -> DualEncoder:
    from dpr_tiny_retriever.dual_encoder import DualEncoder

    return DualEncoder.from_pretrained(model, backend=backend, threads=threads)


def _serve(
    texts: _Texts,
    encoder: DualEncoder,
    model: str | None,
    path: Path | None,
    key: str,
    questions: Iterable[str],
    top_k: int,
) -> None:
    """Bring the index up to date and answer; an index in the user's cache that is of no use is made anew."""
    from dpr_tiny_retriever.errors import UnusableIndexError
    from dpr_tiny_retriever.retrieval.index_file import remove_index_file
    from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

    waiting = iter(questions)
    question = None
    remade = False
    with _index_path(path, key, model) as place:
        while True:
            try:
                with PassageIndex(place, encoder, model_name=model or "bundled") as index:
                    _bring_up_to_date(index, texts)
                    while (question := question or next(waiting, None)) is not None:
                        _answer(index, question, top_k)
                        question = None
                return
            except UnusableIndexError as error:
                if path is not None or remade:
                    raise
                note(f"The index in the cache is made anew: {error.problem}")
                remove_index_file(place)
                remade = True


@contextmanager
def _index_path(path: Path | None, key: str, model: str | None) -> Iterator[Path]:
    """Where the index is: as named, or in the user's cache, or for this run only where the cache cannot be had."""
    from dpr_tiny_retriever.checkpoints.hub import absolute_model

    if path is not None:
        yield path.expanduser()
        return
    name = f"{_digest(str(absolute_model(model))) if model else 'bundled'}.sqlite"
    try:
        folder = user_cache("search") / key
        folder.mkdir(parents=True, exist_ok=True)
        if not (os.access(folder, os.W_OK) or (folder / name).exists()):
            raise PermissionError(f"{folder} cannot be written to")
    except OSError as error:
        note(f"The index is not kept ({error}); --index names a file to keep it in.")
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary, name)
    else:
        yield folder / name


def _digest(name: str) -> str:
    return hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()


def _bring_up_to_date(index: PassageIndex, texts: _Texts) -> None:
    """Encode what is new, forget what is gone, and say what there is; unchanged files are not even read."""
    changed = index.changed_sources(texts.stamps)
    unreadable = list(texts.unreadable)
    encoder = index.encoder.passage_encoder
    cut_before = encoder.num_truncated
    passages = list(_passages(texts.read(changed), unreadable, encoder)) if changed else []
    failed = _name_unreadable(unreadable)
    if texts.stamps.keys() <= failed:
        raise ValueError("none of these files can be read; expected at least one in UTF-8")
    added, seconds = 0, 0.0
    if changed:
        index.encoder.warm_up(bulk=bool(passages))
        begin = time.perf_counter()
        stamps = {source: stamp for source, stamp in texts.stamps.items() if source not in failed}
        added = index.synchronize(passages, unchanged=texts.stamps.keys() - changed, stamps=stamps).added
        seconds = time.perf_counter() - begin
    if cut := encoder.num_truncated - cut_before:
        note(f"{_counted(cut)} longer than the model reads: cut to {encoder.max_length} tokens")
    say(f"{_counted(len(index))} in {index.path}")
    if added:
        say(f"{_counted(added)} encoded in {seconds:.1f} s ({added / seconds:,.0f} a second)")


def _counted(passages: int) -> str:
    return f"{passages:,} passage{'' if passages == 1 else 's'}"


def _name_unreadable(unreadable: list[Unreadable]) -> set[str]:
    """Say what was passed over, the first ones by name; returns their sources."""
    for one in unreadable[:_NAMED_UNREADABLE]:
        note(f"Passed over {one.source}: {one.reason}")
    if len(unreadable) > _NAMED_UNREADABLE:
        note(f"Passed over {len(unreadable) - _NAMED_UNREADABLE:,} more")
    return {one.source for one in unreadable}


# Answering


def _answer(index: PassageIndex, question: str, top_k: int) -> None:
    begin = time.perf_counter()
    hits = index.search(question, top_k=top_k)
    milliseconds = 1000 * (time.perf_counter() - begin)
    say(f"\n{question}  ({milliseconds:.0f} ms)", bold=True)
    for rank, hit in enumerate(hits, 1):
        say(f"{rank:3}. {hit.score:.3f}  {_one_line(hit.passage.title)}  [{_one_line(_place(hit.passage))}]")
        shown = _beginning(_one_line(visible(hit.passage.text)))
        say(textwrap.fill(shown, 100, initial_indent=" " * 5, subsequent_indent=" " * 5))


def _place(passage: IndexedPassage) -> str:
    """The file and line of a passage, as editors understand them."""
    return f"{passage.source}:{passage.metadata['line']}" if "line" in passage.metadata else passage.source


def _beginning(text: str) -> str:
    """Up to 300 characters: whole words where there are blanks, for not every script has them."""
    if len(text) <= _SHOWN_CHARS:
        return text
    words = text[:_SHOWN_CHARS].rpartition(" ")[0]
    return f"{words if len(words) > _SHOWN_CHARS // 2 else text[:_SHOWN_CHARS]} ..."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _typed_questions() -> Iterator[str]:
    """Questions line by line: of somebody who types them, after a prompt, up to an empty line; of a file all."""
    typed = sys.stdin.isatty()
    while True:
        if typed:
            say("\nQuestion (an empty line ends): ", bold=True, end="")
        line = sys.stdin.readline()
        if line.strip():
            yield line.strip()
        elif typed or not line:
            return
