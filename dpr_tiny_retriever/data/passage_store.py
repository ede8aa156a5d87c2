"""Passages on disk, with only an offset and a digest of each in memory: what training and evaluation read."""

from __future__ import annotations

import hashlib
import json
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.data_files import DataError, Place
from dpr_tiny_retriever.passage import Passage, refuse_surrogates

_DIGEST_SIZE = 16  # bytes


class UniquePassages(NamedTuple):
    """The different passages among n rows, u of them."""

    first: NDArray[np.int64]  # [u]: the row of the first copy of each, ascending
    of_row: NDArray[np.int64]  # [n]: which of the u passages each row is


class PassageStore(Sequence[Passage]):
    """A sequence of passages in a temporary file, which is deleted when the process ends.

    Memory: 32 bytes a passage, whatever its length; some 100 more where passages are added by add_once.
    """

    def __init__(self) -> None:
        self.sources: list[Path] = []
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the store is)
        weakref.finalize(self, self._file.close)
        self._ends = array("q", [0])
        self._digests = bytearray()
        self._id_hashes = array("q")
        self._part_starts: list[int] = []
        self._row_of: dict[bytes, int] = {}
        self._at_end = True

    def begin_part(self, path: Path) -> None:
        """Say that the passages which follow come from this file."""
        self.sources.append(path)
        self._part_starts.append(len(self))

    def add(self, passage_id: str, title: object, text: object, line: int) -> None:
        """Append a passage of this line of the part's file; raises DataError if title or text is no valid text."""
        title, text = checked_passage(title, text, Place(self.sources[-1], line))
        head = json.dumps([passage_id, len(self.sources) - 1, line]).encode()
        content = _content(title, text)
        self._append(head, content, _digest(content))
        self._id_hashes.append(hash(passage_id))

    def add_once(self, title: str | None, text: str) -> int:
        """Return the row of a passage, which is appended unless add_once has been given an equal one before."""
        content = _content(title, text)
        digest = _digest(content)
        row = self._row_of.setdefault(digest, len(self))
        if row == len(self):
            self._append(b"", content, digest)
        return row

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, row: int) -> Passage: ...
    @overload
    def __getitem__(self, row: slice) -> list[Passage]: ...
    def __getitem__(self, row: int | slice) -> Passage | list[Passage]:
        if isinstance(row, slice):
            return list(self.passages(range(*row.indices(len(self)))))
        title, text = json.loads(self._read(row)[1])
        return Passage(title or None, text)

    def passages(self, rows: Iterable[int]) -> Iterator[Passage]:
        """The passages of these rows, read one at a time."""
        return (self[int(row)] for row in rows)

    def passage_id(self, row: int) -> str:
        """The id of a row."""
        return str(json.loads(self._read(row)[0])[0])

    def place(self, row: int) -> Place:
        """The file and line that a row comes from."""
        _, part, line = json.loads(self._read(row)[0])
        return Place(self.sources[part], line)

    def digest(self, rows: NDArray[np.int64] | None = None) -> str:
        """A digest of the contents of these rows, in their order, or of all; ids do not count."""
        contents = self._contents()
        chosen = contents if rows is None else contents[rows]
        return hashlib.blake2b(chosen.tobytes(), digest_size=_DIGEST_SIZE).hexdigest()

    def unique_passages(self) -> UniquePassages:
        """The different (title, text) contents: equal passages are encoded and searched once."""
        _, first, of_row = np.unique(self._contents(), return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return UniquePassages(first[order].astype(np.int64), place[of_row.reshape(-1)].astype(np.int64))

    def parts(self) -> list[int]:
        """The row where the passages of each source begin."""
        return list(self._part_starts)

    def refuse_repeated_ids(self) -> None:
        """Raise DataError where two rows have one id."""
        hashes = np.frombuffer(self._id_hashes, np.int64)
        order = np.argsort(hashes, kind="stable")
        for at in np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]]):
            earlier, later = sorted((int(order[at]), int(order[at + 1])))
            repeated = self.passage_id(later)
            if self.passage_id(earlier) == repeated:
                already = f"the passage id {repeated!r} stands already in {self.place(earlier)}"
                raise DataError(self.place(later), f"{already}; expected each id once")

    def _append(self, head: bytes, content: bytes, digest: bytes) -> None:
        if not self._at_end:
            self._file.seek(0, 2)
            self._at_end = True
        self._file.write(head + b"\n" + content)
        self._ends.append(self._ends[-1] + len(head) + 1 + len(content))
        self._digests += digest

    def _contents(self) -> NDArray[np.void]:
        return np.frombuffer(self._digests, np.dtype((np.void, _DIGEST_SIZE)))

    def _read(self, row: int) -> list[bytes]:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} passages; expected a smaller one")
        row %= len(self)
        start, end = self._ends[row], self._ends[row + 1]
        self._file.seek(start)
        self._at_end = False
        return self._file.read(end - start).split(b"\n", 1)


def checked_passage(title: object, text: object, place: Place) -> tuple[str | None, str]:
    """Title and text of a passage; raises DataError if they are no valid texts."""
    if title is not None and not isinstance(title, str):
        raise DataError(place, f"the title of a passage is {title!r}; expected a text or null")
    if not isinstance(text, str):
        raise DataError(place, f"the text of a passage is {text!r}; expected a text")
    try:
        refuse_surrogates(title or "", "the title of a passage")
        refuse_surrogates(text, "the text of a passage")
    except ValueError as error:
        raise DataError(place, str(error)) from None
    return title, text


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most size that cover count, in order."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _content(title: str | None, text: str) -> bytes:
    return json.dumps([title or "", text]).encode()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_SIZE).digest()
