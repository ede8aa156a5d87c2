"""Rows of a corpus -> drafts of shards, which wait for their vectors, and the texts that are to be encoded."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
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
        num_known = 0
        while num_known < MOST_KNOWN:
            rows = list(islice(self.rows, self.rows_per_shard))
            self.read += len(rows)
            if rows:
                if self.former is not None:
                    self.former.meet([row.id for row in rows])
                is_done = number in self.finished and self.is_trusted
                if number % parts == part - 1 and not is_done:
                    num_known += yield from self._draft(number, rows)
            if len(rows) < self.rows_per_shard:
                self.num_rows = number * self.rows_per_shard + len(rows)
                return
            number += 1
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

    def _draft(self, number: int, rows: Sequence[CorpusRow | BadRow]) -> Generator[tuple[str, str], None, int]:
        """Yield the texts of one shard; returns how many of its vectors are known."""
        bad = [row for row in rows if isinstance(row, BadRow)]
        if bad and self.strict:
            raise ValueError(f"{bad[0].place}: {bad[0].reason}; mend it, or encode the others without strict")
        read = _shard_rows(rows, self.keep)
        content = _content(read, bad)
        if number in self.finished and self.finished[number].content == content:
            return 0
        if self.link is not None and self.link(number, content) is not None:
            return 0
        known = {} if self.former is None else self.former.find(read.ids, read.digests)
        unknown = [place for place, is_bad in enumerate(read.is_bad) if not is_bad and place not in known]
        draft = Draft(number, number * self.rows_per_shard, read, content, bad, known, unknown)
        self.ready.append(draft)  # before its texts: whoever has their vectors finds it
        self._waiting = len(unknown)
        for place in unknown:
            self._waiting -= 1
            row = rows[place]
            assert isinstance(row, CorpusRow)
            self.asked += 1
            yield row.title, row.text
        return len(known)


def _shard_rows(rows: Iterable[CorpusRow | BadRow], keep: Sequence[str]) -> ShardRows:
    read = ShardRows(carried={name: [] for name in keep})
    for row in rows:
        is_bad = isinstance(row, BadRow)
        read.ids.append(row.id)
        read.is_bad.append(is_bad)
        read.digests.append(bytes(DIGEST_SIZE) if isinstance(row, BadRow) else content_digest(row.title, row.text))
        for name in keep:
            read.carried[name].append(None if isinstance(row, BadRow) else row.carried.get(name))
    return read


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
