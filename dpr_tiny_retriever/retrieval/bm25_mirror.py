"""BM25 over passages that a document store keeps, blended with what that store finds by vector."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from threading import RLock

from dpr_tiny_retriever.passage import Passage
from dpr_tiny_retriever.retrieval.blended_search import BlendedHit, blended_hits, list_length
from dpr_tiny_retriever.retrieval.bm25_index import BM25Index
from dpr_tiny_retriever.retrieval.sqlite_file import MEMORY

#: How many passages are added to the index at once.
_BATCH = 1024
#: Hexadecimal digits of a passage's digest, which stand before its id in the index.
_DIGEST_LENGTH = 16


class BM25Mirror:
    """The BM25 side of a blend whose other side is a store of vectors: the words of that store's passages, by id.

    The store keeps texts and vectors, and tells when they change. Thread-safe. A copy or pickle of one in memory is
    empty, and is to be filled again.
    """

    def __init__(self, path: str | os.PathLike[str] = MEMORY) -> None:
        """path: the file that keeps the words; without one they are in memory. As for BM25Index."""
        self._path = path
        self._lock = RLock()
        self._index = BM25Index(path)
        self._keys = {key[_DIGEST_LENGTH:]: key for key in self._index.ids()}  # by id: what the index calls a passage
        self._numbers = {id: number for number, id in enumerate(self._keys)}
        self._next_number = len(self._numbers)

    def close(self) -> None:
        """Close the file."""
        self._index.close()

    def __reduce__(self) -> tuple[type[BM25Mirror], tuple[str | os.PathLike[str]]]:
        return BM25Mirror, (self._path,)

    def __len__(self) -> int:
        return len(self._keys)

    def holds(self, id: str, passage: Passage) -> bool:
        """Whether the passage of that id is known here, with this title and text."""
        return self._keys.get(id) == _key(id, passage)

    def add(self, ids: Sequence[str], passages: Sequence[Passage]) -> None:
        """Add passages; one of the same id is replaced, and counts as added last."""
        with self._lock:
            self.delete(ids)
            keys = [_key(id, passage) for id, passage in zip(ids, passages, strict=True)]
            for start in range(0, len(keys), _BATCH):
                self._index.add(keys[start : start + _BATCH], passages[start : start + _BATCH])
            self._keys.update(zip(ids, keys, strict=True))
            self._numbers.update((id, self._next_number + position) for position, id in enumerate(ids))
            self._next_number += len(ids)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove passages by id; an unknown id is passed over."""
        with self._lock:
            gone = set(ids) & self._keys.keys()
            self._index.delete([self._keys[id] for id in gone])
            for id in gone:
                del self._keys[id], self._numbers[id]

    def synchronize(self, passages: Mapping[str, Passage]) -> None:
        """Hold exactly these passages: delete what is gone, add what is new or has another title or text."""
        with self._lock:
            self.delete(self._keys.keys() - passages.keys())
            new = [id for id, passage in passages.items() if not self.holds(id, passage)]
            self.add(new, [passages[id] for id in new])

    def search(
        self,
        question: str,
        dense: Mapping[str, float],
        top_k: int,
        *,
        cosine: bool,
        among: Collection[str] | None = None,
    ) -> list[BlendedHit]:
        """Blend a question's dense scores by id, list_length(top_k) of them or all, with BM25's; the top_k best.

        Equal scores are ordered as the passages were added; ids that are not known here come after all others. cosine:
        whether dense scores are cosines. among: the ids that BM25 chooses from; None: all.
        """
        depth = list_length(top_k)
        with self._lock:
            keys = None if among is None else [self._keys[id] for id in among if id in self._keys]
            bm25 = self._index.search(question, depth, among=keys)
            scores = {str(key)[_DIGEST_LENGTH:]: float(score) for key, score in zip(bm25.ids, bm25.scores, strict=True)}
            found = dict.fromkeys((*dense, *scores))
            unknown = [id for id in found if id not in self._numbers]
            numbers = {id: self._next_number + position for position, id in enumerate(unknown)}
            numbers.update((id, self._numbers[id]) for id in found if id in self._numbers)
        return blended_hits(dense, scores, top_k, cosine=cosine, number_of=numbers.__getitem__, depth=depth)


def _key(id: str, passage: Passage) -> str:
    """The digest of a passage, then its id: by it the index tells which text it has counted, in later processes too."""
    text = f"{passage.title or ''}\0{passage.text}".encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_LENGTH // 2).hexdigest() + id
