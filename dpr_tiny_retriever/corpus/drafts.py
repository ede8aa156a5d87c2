"""Rows of a corpus -> drafts of shards, which wait for their vectors, and the texts that are to be encoded."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from dpr_tiny_retriever.corpus.former_vectors import FormerVectors
from dpr_tiny_retriever.corpus.manifest import ShardRecord
from dpr_tiny_retriever.corpus.rows import DIGEST_SIZE, BadRow, CorpusRow, content_digest
from dpr_tiny_retriever.corpus.shards import ShardRows

#: Known vectors, beside those of one shard, that drafts may hold while they wait.
MOST_KNOWN = 100_000


@dataclass
class Draft:
    """A shard whose rows are read."""

    number: int
    first_row: int
    rows: ShardRows
    content: str
    bad: list[BadRow]
    known: Mapping[int, NDArray[Any]]
    """Stored vectors that need not be made again, by row."""
    unknown: Sequence[int] = ()
    """The rows whose vectors are to be made, in the order of the texts."""


@dataclass
class Drafter:
    """Reads the rows of a job shard by shard; what has to be encoded comes out of texts(), the drafts into ready."""

    rows: Iterator[CorpusRow | BadRow]
    rows_per_shard: int
    first: int
    """The number of the shard that the rows begin with."""
    share: tuple[int, int]
    """Of the shards this one makes: (2, 8) is the second of eight, and so on."""
    finished: Mapping[int, ShardRecord]
    is_trusted: bool
    """Whether finished shards hold the rows of these inputs; if not, their contents are compared."""
    keep: Sequence[str]
    former: FormerVectors | None
    strict: bool
    link: Callable[[int, str], ShardRecord | None] | None
    """Takes over a former shard of this number and content; None where there is no such shard."""
    ready: deque[Draft] = field(default_factory=deque)
    num_rows: int | None = None
    """The rows of all inputs, once their end is reached."""
    read: int = 0
    """Rows that have been read, from the first shard on."""
    asked: int = 0
    """Texts that have come out."""
    _next: int | None = None
    _waiting: int = 0
    """Texts of the shard that is read which have not come out."""

    @property
    def is_finished(self) -> bool:
        """Whether the end of the inputs has been reached."""
        return self.num_rows is not None

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the titled texts of rows that need a vector; call it again until is_finished.

        It ends early where many vectors are known: drafts that hold them wait for the few texts among them, which an
        encoder gathers into blocks, so that all of a large corpus would be in memory.
        """
        number, (part, parts) = self.first if self._next is None else self._next, self.share
        before, num_known = self.read, 0
        while num_known < MOST_KNOWN:
            rows, is_own = islice(self.rows, self.rows_per_shard), number % parts == part - 1
            if is_own and self.former is None and number not in self.finished:
                yield from self._fresh(number, rows)
            else:
                num_known += yield from self._compared(number, list(rows), is_own=is_own)
            num_rows = self.read - before
            if num_rows < self.rows_per_shard:
                self.num_rows = number * self.rows_per_shard + num_rows
                return
            before, number = self.read, number + 1
            self._next = number

    def expected(self, share_read: float) -> int | None:
        """How many texts there will have been, guessed from the share of the inputs that is read; None at first."""
        if self.num_rows is not None:
            return self.asked + self._waiting
        if not self.read or not share_read:
            return None
        before = self.first * self.rows_per_shard
        left = max(0.0, (before + self.read) / share_read - before - self.read)
        asked = self.asked + self._waiting
        return round(asked + left * asked / self.read)

    def _fresh(self, number: int, rows: Iterator[CorpusRow | BadRow]) -> Iterator[tuple[str, str]]:
        """Read the rows of a new shard and yield each text to encode as soon as it is read; then queue the draft."""
        read, bad = ShardRows(carried={name: [] for name in self.keep}), list[BadRow]()
        for row in rows:
            self.read += 1
            self._add(row, read, bad)
            if isinstance(row, CorpusRow):
                self.asked += 1
                yield row.title, row.text
        if read.ids:
            unknown = [place for place, is_bad in enumerate(read.is_bad) if not is_bad]
            first_row = number * self.rows_per_shard
            self.ready.append(Draft(number, first_row, read, _content(read, bad), bad, {}, unknown))

    def _compared(
        self, number: int, rows: Sequence[CorpusRow | BadRow], *, is_own: bool
    ) -> Generator[tuple[str, str], None, int]:
        """Yield those texts of a shard that have no stored vector; return the number of stored vectors it reuses."""
        self.read += len(rows)
        if self.former is not None:
            self.former.meet([row.id for row in rows])
        if not rows or not is_own or (number in self.finished and self.is_trusted):
            return 0
        read, bad = ShardRows(carried={name: [] for name in self.keep}), list[BadRow]()
        for row in rows:
            self._add(row, read, bad)
        content = _content(read, bad)
        if number in self.finished and self.finished[number].content == content:
            return 0
        if self.link is not None and self.link(number, content) is not None:
            return 0
        known = {} if self.former is None else self.former.find(read.ids, read.digests)
        unknown = [place for place, is_bad in enumerate(read.is_bad) if not is_bad and place not in known]
        self.ready.append(Draft(number, number * self.rows_per_shard, read, content, bad, known, unknown))
        self._waiting = len(unknown)
        for place in unknown:
            self._waiting -= 1
            row = rows[place]
            assert isinstance(row, CorpusRow)
            self.asked += 1
            yield row.title, row.text
        return len(known)

    def _add(self, row: CorpusRow | BadRow, read: ShardRows, bad: list[BadRow]) -> None:
        """Append a row to its shard; raises ValueError for a bad row if the run is strict."""
        read.ids.append(row.id)
        if isinstance(row, BadRow):
            if self.strict:
                raise ValueError(f"{row.place}: {row.reason}; mend it, or encode the others without strict")
            bad.append(row)
        read.is_bad.append(isinstance(row, BadRow))
        read.digests.append(bytes(DIGEST_SIZE) if isinstance(row, BadRow) else content_digest(row.title, row.text))
        for name in self.keep:
            read.carried[name].append(None if isinstance(row, BadRow) else row.carried.get(name))


def _content(rows: ShardRows, bad: Sequence[BadRow]) -> str:
    """A digest of the ids, texts, carried columns and bad rows of a shard."""
    digest = hashlib.blake2b(digest_size=16)
    for number, (id, of_text) in enumerate(zip(rows.ids, rows.digests, strict=True)):
        encoded = id.encode()
        digest.update(b"%d:%b%b" % (len(encoded), encoded, of_text))
        for column in rows.carried.values():
            digest.update(json.dumps(column[number], default=str).encode() + b"\n")
    digest.update(json.dumps(bad).encode())
    return digest.hexdigest()
