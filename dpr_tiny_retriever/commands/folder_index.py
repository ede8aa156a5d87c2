"""The index on disk that follows the texts of a folder: made, brought up to date, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from dpr_tiny_retriever.cache_folders import user_cache
from dpr_tiny_retriever.commands.console import note
from dpr_tiny_retriever.progress import progress_bar

if TYPE_CHECKING:
    from dpr_tiny_retriever.data.text_files import Text, Unreadable
    from dpr_tiny_retriever.dual_encoder import DualEncoder
    from dpr_tiny_retriever.encoder import Encoder
    from dpr_tiny_retriever.retrieval.index_file import IndexedPassage
    from dpr_tiny_retriever.retrieval.passage_index import FoundPassage, PassageIndex
    from dpr_tiny_retriever.types import BackendName, SearchMode

#: Unreadable files that are named one by one.
_NAMED_UNREADABLE = 10

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Texts:
    """Texts to be indexed: the stamp of each source, and how the texts of some sources are read."""

    stamps: dict[str, str]
    read: Callable[[set[str]], Iterable[Text | Unreadable]]
    unreadable: Sequence[Unreadable] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Documents of other kinds: suffix -> count."""


def folder_texts(folder: Path, *, all_folders: bool) -> Texts:
    """The files of a folder; raises FileNotFoundError, NotADirectoryError or ValueError where there are none."""
    from dpr_tiny_retriever.data.text_files import find_text_files, read_text_files

    found = find_text_files(folder, all_folders=all_folders)
    return Texts(
        {file.source: file.stamp for file in found.files},
        lambda changed: read_text_files(file for file in found.files if file.source in changed),
        found.unreadable,
        found.left_out,
    )


def reference_texts() -> Texts:
    """The Python language reference."""
    from dpr_tiny_retriever.data.text_files import SPLITTING_RULES, read_python_reference

    return Texts({"help()": f"{SPLITTING_RULES} {sys.version}"}, lambda changed: read_python_reference())


@dataclass(frozen=True)
class Update:
    """What bringing an index up to date has done, and how long encoding and writing took."""

    passages: int
    added: int
    deleted: int
    seconds: float


class FolderIndex:
    """A passage index that is brought up to date with texts; one in the cache that is of no use is made anew."""

    def __init__(self, path: Path, encoder: DualEncoder, *, model: str | None, is_cache: bool) -> None:
        """Open the index at a path, or begin one; model is how messages call the model.

        Raises UnusableIndexError for a file that is damaged or of another version or model, unless is_cache.
        """
        self.path = path
        from dpr_tiny_retriever.checkpoints.bundled_pairs import released_name

        self._encoder = encoder
        self._model_name = released_name(model)
        self._may_be_remade = is_cache
        self._index: PassageIndex | None = None
        self._texts: Texts | None = None
        self._named: tuple[list[Unreadable], Mapping[str, int]] = [], {}
        self._mended(self._opened)

    def close(self) -> None:
        """Close the file."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def __enter__(self) -> FolderIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def bring_up_to_date(self, texts: Texts) -> Update:
        """Encode what is new and forget what is gone; unchanged files are not even read, unreadable ones are named."""
        update = self._mended(lambda: self._update(texts))
        self._texts = texts
        return update

    def search(self, question: str, top_k: int, mode: SearchMode) -> list[FoundPassage]:
        """The best passages for a question, as PassageIndex.search finds them."""
        return self._mended(lambda: self._opened().search(question, top_k, mode=mode))

    @property
    def scores_are_cosines(self) -> bool:
        """Whether passages are compared with questions by the cosine of their vectors."""
        from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines

        return scores_are_cosines(self._encoder.similarity, normalize=self._encoder.normalize)

    def _opened(self) -> PassageIndex:
        from dpr_tiny_retriever.retrieval.passage_index import PassageIndex

        if self._index is None:
            self._index = PassageIndex(self.path, self._encoder, model_name=self._model_name)
        return self._index

    def _mended(self, action: Callable[[], _Result]) -> _Result:
        """What an action on the index gives, after a second try with a new file where the first is of no use."""
        from dpr_tiny_retriever.errors import UnusableIndexError
        from dpr_tiny_retriever.retrieval.index_file import remove_index_file

        try:
            return action()
        except UnusableIndexError as error:
            if not self._may_be_remade:
                raise
            self._may_be_remade = False
            note(f"The index in the cache is made anew: {error.problem}")
            self.close()
            remove_index_file(self.path)
            if self._texts is not None:
                self._update(self._texts)
            return action()

    def _update(self, texts: Texts) -> Update:
        index = self._opened()
        changed = index.changed_sources(texts.stamps)
        unreadable = list(texts.unreadable)
        encoder = self._encoder.passage_encoder
        cut_before = encoder.num_truncated
        passages = list(_passages(texts.read(changed), len(changed), unreadable, encoder)) if changed else []
        self._name(unreadable, texts.left_out)
        failed = {one.source for one in unreadable}
        if texts.stamps.keys() <= failed:
            raise ValueError("none of these files can be read; expected at least one in UTF-8")
        added, deleted, seconds = 0, 0, 0.0
        if changed:
            self._encoder.warm_up(bulk=bool(passages))
            begin = time.perf_counter()
            stamps = {source: stamp for source, stamp in texts.stamps.items() if source not in failed}
            added, deleted = index.synchronize(passages, unchanged=texts.stamps.keys() - changed, stamps=stamps)
            seconds = time.perf_counter() - begin
        if cut := encoder.num_truncated - cut_before:
            note(f"{_counted(cut)} longer than the model reads: cut to {encoder.max_length} tokens")
        return Update(len(index), added, deleted, seconds)

    def _name(self, unreadable: list[Unreadable], left_out: Mapping[str, int]) -> None:
        """Say what was passed over, the first files by name, unless that has been said before."""
        from dpr_tiny_retriever.data.text_files import counted_suffixes

        if (unreadable, left_out) == self._named:
            return
        self._named = unreadable, left_out
        if left_out:
            note(f"Left out: {counted_suffixes(left_out)}")
        for one in unreadable[:_NAMED_UNREADABLE]:
            note(f"Passed over {one.source}: {one.reason}")
        if len(unreadable) > _NAMED_UNREADABLE:
            note(f"Passed over {len(unreadable) - _NAMED_UNREADABLE:,} more")


@contextmanager
def open_index(
    folder: Path | None, model: str | None, path: Path | None, *, backend: BackendName, threads: int | None
) -> Iterator[FolderIndex]:
    """Load the model and open the index of a folder, None being the Python reference.

    It is as named by path, or in the user's cache, or for this run only where the cache cannot be had.
    """
    from dpr_tiny_retriever.dual_encoder import DualEncoder

    encoder = DualEncoder.from_pretrained(model, backend=backend, threads=threads)
    with (
        _index_path(path, folder, model) as place,
        FolderIndex(place, encoder, model=model, is_cache=path is None) as index,
    ):
        yield index


def update_lines(update: Update, path: Path) -> Iterator[str]:
    """What to say about an update of the index at a path."""
    yield f"{_counted(update.passages)} in {path}"
    if update.added:
        rate = update.added / update.seconds
        yield f"{_counted(update.added)} encoded in {update.seconds:.1f} s ({rate:,.0f} a second)"


def _counted(passages: int) -> str:
    return f"{passages:,} passage{'' if passages == 1 else 's'}"


@contextmanager
def _index_path(path: Path | None, folder: Path | None, model: str | None) -> Iterator[Path]:
    from dpr_tiny_retriever.checkpoints.hub import absolute_model

    if path is not None:
        yield path.expanduser()
        return
    key = "python-reference" if folder is None else _digest(str(folder.resolve()))
    name = f"{_digest(str(absolute_model(model))) if model else 'bundled'}.sqlite"
    kept: Path | None = None
    try:
        kept = user_cache("search") / key / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        for place in (kept.parent, kept):
            if place.exists() and not os.access(place, os.W_OK):
                raise PermissionError(f"{place} cannot be written to")
    except OSError as error:
        note(f"The index is not kept ({error}); --index names a file to keep it in.")
        with tempfile.TemporaryDirectory() as temporary:
            yield _copied(kept, Path(temporary, name))
    else:
        yield kept


def _copied(index: Path | None, target: Path) -> Path:
    """The target, with what there is of an index that can be read and not written to."""
    from dpr_tiny_retriever.retrieval.index_file import INDEX_FILE_SUFFIXES

    for suffix in INDEX_FILE_SUFFIXES:
        with suppress(OSError):
            if index is not None:
                shutil.copyfile(index.with_name(index.name + suffix), target.with_name(target.name + suffix))
    return target


def _digest(name: str) -> str:
    return hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()


def _passages(
    texts: Iterable[Text | Unreadable], count: int, unreadable: list[Unreadable], encoder: Encoder
) -> Iterator[IndexedPassage]:
    """Split texts into passages that the encoder reads whole; unreadable ones go into the list.

    An id is made of what a passage says and of its line, so that both are right after any change; of two that say the
    same in a file, the first is kept.
    """
    from dpr_tiny_retriever.data.text_files import Unreadable
    from dpr_tiny_retriever.data.text_passages import split
    from dpr_tiny_retriever.retrieval.index_file import IndexedPassage

    room = encoder.tokenizer.room(encoder.max_length)
    with progress_bar(total=count, unit=" files", show_progress=None, description="reading") as progress:
        for text in texts:
            progress.update()
            if isinstance(text, Unreadable):
                unreadable.append(text)
                continue
            seen = set[tuple[str, str]]()
            for passage in split(text, room=room, count=encoder.tokenizer.count):
                if (passage.title, passage.text) not in seen:
                    seen.add((passage.title, passage.text))
                    content = "\0".join((text.source, str(passage.line), passage.title, passage.text)).encode()
                    id = hashlib.blake2b(content, digest_size=16).hexdigest()
                    yield IndexedPassage(id, passage.title, passage.text, text.source, {"line": passage.line})
