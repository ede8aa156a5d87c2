"""Texts of the training data and their token ids on disk: each text once, by its row; data may exceed memory."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from array import array

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.examples import Example
from dpr_tiny_retriever.data.passage_store import PassageStore, blocks
from dpr_tiny_retriever.model.batching import TokenBatch, padded_length
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer

_CHUNK = 4096  # texts tokenized together
_MAX_HARD_NEGATIVES = 100  # of an example, its first ones

Rows = NDArray[np.int64]


class TokenStore:
    """A store of different passages, and beside it a temporary file of their token ids.

    Passages are tokenized when token ids are first asked for. Memory: some 150 bytes a text.
    """

    def __init__(self, tokenizer: PairTokenizer, max_length: int) -> None:
        self.passages = PassageStore()
        self.max_length = max_length
        self._tokenizer = tokenizer
        self._num_truncated = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the store is)
        weakref.finalize(self, self._file.close)
        self._ends, self._segment_starts = array("q", [0]), array("i")
        self._mapped: NDArray[np.int32] = np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self.passages)

    @property
    def num_truncated(self) -> int:
        """How many texts were cut at max_length."""
        self._all_ids()
        return self._num_truncated

    def tokens(self, row: int) -> NDArray[np.int32]:
        """The token ids of a text, special tokens included."""
        ids = self._all_ids()
        return ids[self._ends[row] : self._ends[row + 1]]

    def lengths(self) -> NDArray[np.int64]:
        """How many tokens each text has [n]."""
        self._all_ids()
        ends = np.frombuffer(self._ends, np.int64)
        lengths: NDArray[np.int64] = ends[1:] - ends[:-1]
        return lengths

    def padded(self, rows: Rows, max_length: int | None = None) -> TokenBatch:
        """The texts of n rows [n], cut to max_length tokens; row -1 gives a text of one padding token.

        The common length is the next multiple of LENGTH_STEP, if the cut allows it.
        """
        ids = self._all_ids()
        ends = np.frombuffer(self._ends, np.int64)
        starts = ends[rows]
        present = rows >= 0
        limit = self.max_length if max_length is None else max_length
        lengths = np.where(present, np.minimum(ends[rows + 1] - starts, limit), 1)
        columns = np.arange(padded_length(int(lengths.max(initial=1)), limit))
        within = (columns < lengths[:, None]) & present[:, None]  # [n, l]
        token_ids = np.where(within, ids[np.where(within, starts[:, None] + columns, 0)], 0)
        segment_starts = np.where(present, np.frombuffer(self._segment_starts, np.int32)[rows], 1)
        return TokenBatch(token_ids.astype(np.int32), lengths.astype(np.int32), segment_starts.astype(np.int32))

    def _all_ids(self) -> NDArray[np.int32]:
        done = len(self._segment_starts)
        if done < len(self.passages):
            for part in blocks(len(self.passages) - done, _CHUNK):
                rows = range(done + part.start, done + part.stop)
                pairs = [(passage.title or "", passage.text) for passage in self.passages.passages(rows)]
                tokens = self._tokenizer.tokenize(pairs, self.max_length)
                self._file.write(tokens.ids.tobytes())
                self._ends.extend((self._ends[-1] + np.cumsum(tokens.lengths, dtype=np.int64)).tolist())
                self._segment_starts.extend(tokens.segment_starts.tolist())
                self._num_truncated += tokens.num_truncated
            self._file.flush()
            self._mapped = np.memmap(self._file, np.int32, "r")
        return self._mapped


class ExampleStore:
    """Examples as rows of two token stores, one for queries and one for passages."""

    def __init__(self, tokenizer: PairTokenizer, max_query_length: int, max_passage_length: int) -> None:
        self.queries = TokenStore(tokenizer, max_query_length)
        self.passages = TokenStore(tokenizer, max_passage_length)
        self._query_rows = array("q")
        self._positive_rows = array("q")  # the first positive of each example
        self._negative_rows, self._negative_ends = array("q"), array("q", [0])
        self._known: dict[int, set[int]] = {}  # of each query all passages that answer it, in whichever example

    def add(self, example: Example) -> None:
        """Append an example."""
        add_passage = self.passages.passages.add_once
        query = self.queries.passages.add_once(None, example.question)
        positives = [add_passage(passage.title, passage.text) for passage in example.positives]
        self._query_rows.append(query)
        self._positive_rows.append(positives[0])
        self._known.setdefault(query, set()).update(positives)
        for passage in example.hard_negatives[:_MAX_HARD_NEGATIVES]:
            self._negative_rows.append(add_passage(passage.title, passage.text))
        self._negative_ends.append(len(self._negative_rows))

    def __len__(self) -> int:
        return len(self._query_rows)

    def digest(self) -> str:
        """A digest of all examples in their order, with their texts."""
        digest = hashlib.blake2b(digest_size=16)
        for store in (self.queries, self.passages):
            digest.update(store.passages.digest().encode())
        for rows in (self._query_rows, self._positive_rows, self._negative_rows, self._negative_ends):
            digest.update(rows)
        return digest.hexdigest()

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


def drop_word_pieces(texts: TokenBatch, share: float, rng: np.random.Generator) -> TokenBatch:
    """The texts without about this share of their word pieces; the special tokens stay."""
    count, width = texts.ids.shape
    columns = np.arange(width)
    special = (columns == 0) | (columns == texts.lengths[:, None] - 1) | (columns == texts.segment_starts[:, None] - 1)
    kept = (columns < texts.lengths[:, None]) & (special | (rng.random((count, width)) >= share))  # [n, l]
    order = np.argsort(~kept, axis=1, kind="stable")
    lengths = kept.sum(axis=1)
    token_ids = np.where(columns < lengths[:, None], np.take_along_axis(texts.ids, order, axis=1), 0)
    before = (kept & (columns < texts.segment_starts[:, None])).sum(axis=1)
    # Without a second text the segment start stays behind the end.
    segment_starts = np.where(texts.segment_starts < texts.lengths, before, texts.segment_starts)
    return TokenBatch(token_ids.astype(np.int32), lengths.astype(np.int32), segment_starts.astype(np.int32))
