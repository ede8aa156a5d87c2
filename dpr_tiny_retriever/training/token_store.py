"""Texts and examples on disk: token ids and contents by row, equal texts once, so that data may exceed memory."""

from __future__ import annotations

import hashlib
import json
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.examples import Example
from dpr_tiny_retriever.model.batching import padded_length
from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer

_CHUNK = 4096  # texts tokenised together
_DIGEST_SIZE = 16  # bytes

Rows = NDArray[np.int64]


class Padded(NamedTuple):
    """n texts padded to a common length, as bert.encode takes them."""

    token_ids: NDArray[np.int32]  # [n, l]
    lengths: NDArray[np.int32]  # [n]
    segment_starts: NDArray[np.int32]  # [n]


def without_some(texts: Padded, share: float, rng: np.random.Generator) -> Padded:
    """The texts without about this share of their word pieces; the special tokens stay."""
    count, width = texts.token_ids.shape
    columns = np.arange(width)
    special = (columns == 0) | (columns == texts.lengths[:, None] - 1) | (columns == texts.segment_starts[:, None] - 1)
    kept = (columns < texts.lengths[:, None]) & (special | (rng.random((count, width)) >= share))  # [n, l]
    order = np.argsort(~kept, axis=1, kind="stable")
    lengths = kept.sum(axis=1)
    within = columns < lengths[:, None]
    token_ids = np.where(within, np.take_along_axis(texts.token_ids, order, axis=1), 0)
    before = (kept & (columns < texts.segment_starts[:, None])).sum(axis=1)
    # Without a second text the start stays behind the end.
    segment_starts = np.where(texts.segment_starts < texts.lengths, before, texts.segment_starts)
    return Padded(token_ids.astype(np.int32), lengths.astype(np.int32), segment_starts.astype(np.int32))


class TextStore:
    """Titled texts numbered from 0 in the order of their first appearance; equal ones get one number.

    Contents and token ids lie in temporary files that vanish with the process; memory is some 150 bytes a text.
    """

    def __init__(self, tokenizer: PairTokenizer, max_length: int) -> None:
        self.max_length = max_length
        self.num_truncated = 0
        self._tokenizer = tokenizer
        self._rows: dict[bytes, int] = {}
        self._waiting: list[tuple[str, str]] = []
        self._contents, self._content_ends = self._temporary(), array("q", [0])
        self._ids, self._id_ends = self._temporary(), array("q", [0])
        self._segment_starts = array("i")
        self._mapped: NDArray[np.int32] | None = None

    def add(self, title: str | None, text: str) -> int:
        """The number of a text, which is stored if it is new."""
        content = json.dumps([title or "", text]).encode()
        digest = hashlib.blake2b(content, digest_size=_DIGEST_SIZE).digest()
        row = self._rows.get(digest)
        if row is None:
            row = self._rows[digest] = len(self._rows)
            self._contents.write(content)
            self._content_ends.append(self._content_ends[-1] + len(content))
            self._waiting.append((title or "", text))
            if len(self._waiting) == _CHUNK:
                self._tokenize()
        return row

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Passage]:
        return self.passages(range(len(self)))

    def passages(self, rows: Iterable[int]) -> Iterator[Passage]:
        """The texts of these rows, read one at a time."""
        for row in rows:
            start, end = self._content_ends[row], self._content_ends[row + 1]
            self._contents.seek(start)
            title, text = json.loads(self._contents.read(end - start))
            yield Passage(title or None, text)

    def digest(self) -> str:
        """A digest of all contents in their order."""
        return hashlib.blake2b(b"".join(self._rows), digest_size=_DIGEST_SIZE).hexdigest()

    def tokens(self, row: int) -> NDArray[np.int32]:
        """The token ids of a text, special tokens included."""
        ids = self._all_ids()
        return ids[self._id_ends[row] : self._id_ends[row + 1]]

    def joined(self, rows: Rows) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The token ids of the texts of these rows [n] one after the other, and how many each has [n]."""
        ids = self._all_ids()
        ends = np.frombuffer(self._id_ends, np.int64)
        starts, lengths = ends[rows], ends[rows + 1] - ends[rows]
        shifts = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        return ids[np.arange(len(shifts)) + shifts], lengths

    def padded(self, rows: Rows, max_length: int | None = None) -> Padded:
        """The texts of n rows [n], cut to max_length tokens; row -1 gives a text of one padding token.

        The common length is the next multiple of LENGTH_STEP, if the cut allows it.
        """
        ids = self._all_ids()
        ends = np.frombuffer(self._id_ends, np.int64)
        starts = ends[rows]
        present = rows >= 0
        cut = self.max_length if max_length is None else max_length
        lengths = np.where(present, np.minimum(ends[rows + 1] - starts, cut), 1)
        longest = int(lengths.max(initial=1))
        columns = np.arange(padded_length(longest, cut))
        within = (columns < lengths[:, None]) & present[:, None]
        token_ids = np.where(within, ids[np.where(within, starts[:, None] + columns, 0)], 0)
        segment_starts = np.where(present, np.frombuffer(self._segment_starts, np.int32)[rows], 1)
        return Padded(token_ids.astype(np.int32), lengths.astype(np.int32), segment_starts.astype(np.int32))

    def _temporary(self) -> BinaryIO:
        """A file that is closed, and so deleted, with the store."""
        file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, file.close)
        return file

    def _all_ids(self) -> NDArray[np.int32]:
        if self._waiting:
            self._tokenize()
        if self._mapped is None:
            self._ids.flush()
            self._mapped = np.memmap(self._ids, np.int32, "r")
        return self._mapped

    def _tokenize(self) -> None:
        tokens = self._tokenizer.tokenize(self._waiting, self.max_length)
        self._ids.write(tokens.ids.tobytes())
        self._id_ends.extend((self._id_ends[-1] + np.cumsum(tokens.lengths, dtype=np.int64)).tolist())
        self._segment_starts.extend(tokens.segment_starts.tolist())
        self.num_truncated += tokens.num_truncated
        self._waiting.clear()
        self._mapped = None


class ExampleStore:
    """Examples as rows of two text stores, one for queries and one for passages."""

    def __init__(self, queries: TextStore, passages: TextStore, *, max_hard_negatives: int = 100) -> None:
        """Of each example at most the first max_hard_negatives are kept."""
        self.queries = queries
        self.passages = passages
        self.max_hard_negatives = max_hard_negatives
        self._query_rows = array("q")
        self._positive_rows = array("q")  # the first positive of each example
        self._negative_rows, self._negative_ends = array("q"), array("q", [0])
        self._known: dict[int, set[int]] = {}  # of each query all passages that answer it, in whichever example

    def add(self, example: Example) -> None:
        """Append an example."""
        query = self.queries.add(None, example.question)
        positives = [self.passages.add(passage.title, passage.text) for passage in example.positives]
        self._query_rows.append(query)
        self._positive_rows.append(positives[0])
        self._known.setdefault(query, set()).update(positives)
        for passage in example.hard_negatives[: self.max_hard_negatives]:
            self._negative_rows.append(self.passages.add(passage.title, passage.text))
        self._negative_ends.append(len(self._negative_rows))

    def __len__(self) -> int:
        return len(self._query_rows)

    def digest(self) -> str:
        """A digest of all examples in their order, with their texts."""
        rows = (self._query_rows, self._positive_rows, self._negative_rows, self._negative_ends)
        found = hashlib.blake2b(digest_size=_DIGEST_SIZE)
        for part in (self.queries.digest().encode(), self.passages.digest().encode(), *rows):
            found.update(part)
        return found.hexdigest()

    @property
    def query_rows(self) -> Rows:
        """The query of each example [n]."""
        return np.frombuffer(self._query_rows, np.int64)

    @property
    def positive_rows(self) -> Rows:
        """The passage of each example [n] that is its positive."""
        return np.frombuffer(self._positive_rows, np.int64)

    def hard_negatives(self, example: int) -> list[int]:
        """The hard negatives of an example, without passages that are known to answer its query."""
        listed = self._negative_rows[self._negative_ends[example] : self._negative_ends[example + 1]]
        known = self._known[self._query_rows[example]]
        return [row for row in listed if row not in known]

    def known_positives(self, query_row: int) -> list[int]:
        """All passages that answer a query, by its row in the store of queries."""
        return sorted(self._known[query_row])
