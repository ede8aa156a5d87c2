"""BM25 over passages that a document store keeps, blended with what that store finds by vector."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from threading import RLock

from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.blended_search import BlendedHit, blended_hits
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index
from dpr_tiny_retriever.retrieval.fusion import LIST_LENGTH

#: How many passages are added to the index at once.
_BATCH = 1024


class BM25Mirror:
    """The BM25 side of a blend whose other side is a store of vectors: the store's passages by id, kept in step.

    The store keeps texts and vectors; this keeps the words, the order in which passages were added, and a digest of
    each text, some 100 bytes a passage in memory. Thread-safe. A copy or pickle of a mirror in memory is empty.
    """

    def __init__(self, path: str | os.PathLike[str] = ":memory:") -> None:
        """path: the file that keeps the words; without one they are in memory, as BM25Index has it."""
        self._path = path
        self._lock = RLock()
        self._index = BM25Index(path)
        self._numbers = {id: number for number, id in enumerate(self._index.ids())}
        self._next_number = len(self._numbers)
        self._digests: dict[str, int] = {}  # none of passages that were in the file before

    def close(self) -> None:
        """Close the file."""
        self._index.close()

    def __reduce__(self) -> tuple[type[BM25Mirror], tuple[str | os.PathLike[str]]]:
        return BM25Mirror, (self._path,)

    def __len__(self) -> int:
        return len(self._numbers)

    def holds(self, id: str, passage: Passage) -> bool:
        """Whether the passage of that id is this one; of passages that were in the file before, only ids are known."""
        return id in self._numbers and self._digests.get(id, _digest(passage)) == _digest(passage)

    def add(self, ids: Sequence[str], passages: Sequence[Passage]) -> None:
        """Add passages; one of the same id is replaced, and counts as added last."""
        with self._lock:
            for start in range(0, len(ids), _BATCH):
                batch = slice(start, start + _BATCH)
                self._index.add(ids[batch], passages[batch])
            for id, passage in zip(ids, passages, strict=True):
                self._numbers[id] = self._next_number
                self._next_number += 1
                self._digests[id] = _digest(passage)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove passages by id; an unknown id is passed over."""
        with self._lock:
            gone = set(ids)
            self._index.delete(gone)
            for id in gone & self._numbers.keys():
                del self._numbers[id]
                self._digests.pop(id, None)

    def synchronize(self, passages: Mapping[str, Passage]) -> None:
        """Hold exactly these passages: delete what is gone, add what is new or has another text."""
        with self._lock:
            self.delete(self._numbers.keys() - passages.keys())
            new = [id for id, passage in passages.items() if not self.holds(id, passage)]
            self.add(new, [passages[id] for id in new])
            self._digests = {id: _digest(passage) for id, passage in passages.items()}

    def search(
        self,
        question: str,
        dense: Mapping[str, float],
        top_k: int,
        *,
        cosine: bool,
        among: Collection[str] | None = None,
    ) -> list[BlendedHit]:
        """Blend the dense scores of a question by id, LIST_LENGTH of them or all, with BM25's; the top_k best.

        Equal scores are ordered as the passages were added; ids that are not known here come after all others. cosine:
        whether dense scores are cosines. among: the ids that BM25 chooses from; None: all.
        """
        with self._lock:
            bm25 = self._index.search(question, LIST_LENGTH, among=among)
            scores = dict(zip(map(str, bm25.ids), map(float, bm25.scores), strict=True))
            found = dict.fromkeys((*dense, *scores))
            unknown = [id for id in found if id not in self._numbers]
            numbers = {id: self._next_number + position for position, id in enumerate(unknown)}
            numbers.update((id, self._numbers[id]) for id in found if id in self._numbers)
        return blended_hits(dense, scores, top_k, cosine=cosine, number_of=numbers.__getitem__)


def _digest(passage: Passage) -> int:
    return hash((passage.title or "", passage.text))
