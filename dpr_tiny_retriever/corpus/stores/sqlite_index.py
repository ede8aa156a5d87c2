"""The index of `dpr-tiny search`, one SQLite file, with passages, vectors and words."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from dpr_tiny_retriever.corpus.manifest import ShardRecord
from dpr_tiny_retriever.corpus.shard_folder import Shard, ShardFolder
from dpr_tiny_retriever.corpus.stores.ranking import unit_length
from dpr_tiny_retriever.data.passage_store import blocks
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage, IndexFile
from dpr_tiny_retriever.retrieval.nearest_neighbours import TopK
from dpr_tiny_retriever.types import Vectors

#: Passages written at once; a shard is one transaction all the same.
_BATCH = 4096
#: The name of a shard.
_SHARD = re.compile(r"part-\d+")


class SqliteIndex:
    """What PassageIndex opens with the model that encoded the corpus; no model is needed to fill it.

    Titles and texts have to be carried along, `dpr-tiny encode --keep title --keep text`; other columns become
    metadata. The source of a passage is its shard. A shard is one transaction.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Nothing is read or written yet."""
        self.path = Path(path)
        self._file: IndexFile | None = None
        self._by_cosine = False
        self._title: str | None = None
        self._text = ""

    def prepare(self, folder: ShardFolder) -> None:
        """Begin the index or open it.

        Raises ValueError for shards without texts, UnusableIndexError for an index of another model.
        """
        job = folder.manifest.job
        self._by_cosine = job.similarity == "cosine"
        self._text, title = (job.fields.get(side) or side for side in ("text", "title"))
        self._title = title if title in job.keep else None
        if self._text not in job.keep:
            raise ValueError(
                f"{folder.path} carries {', '.join(job.keep) or 'no columns'}; expected the texts, which an index "
                f"keeps: encode the corpus with --keep {title} --keep {self._text}"
            )
        self._file = IndexFile(self.path, model=job.model, fingerprint=job.fingerprint, dim=job.embedding_dim)
        with self._file.transaction():
            sources, count = self._file.stamps(), self._file.count()
        if not all(map(_SHARD.fullmatch, sources)) or (count and not sources):
            raise ValueError(
                f"{self.path} is an index of {count} passages that are not of shards; expected one that "
                "`dpr-tiny load` made, or the path of a new one"
            )

    def loaded(self) -> Mapping[int, str]:
        """The numbers and digests of the shards in the index."""
        with self._open.transaction():
            return {_number(source): stamp for source, stamp in self._open.stamps().items()}

    def remove(self, numbers: Collection[int]) -> None:
        """Delete the passages of some shards, in one transaction."""
        with self._open.transaction(write=True):
            sources = self._open.sources_of_ids()
            self._open.delete({id for id, source in sources.items() if _number(source) in numbers})
            stamps = self._open.stamps()
            self._open.set_stamps({source: stamp for source, stamp in stamps.items() if _number(source) not in numbers})

    def write(self, record: ShardRecord, shard: Shard) -> None:
        """Insert a shard's passages; raises ValueError where the index holds one of its ids already."""
        passages = self._passages(shard)
        with self._open.transaction(write=True):
            stamps = self._open.stamps()
            if shard.name in stamps:  # another process has loaded it meanwhile
                return
            if taken := self._open.present(shard.ids):
                raise ValueError(
                    f"{shard.name} has the id {min(taken)!r}, which {self.path} holds already; expected an id for each "
                    "passage of a corpus, in an index of its own"
                )
            for rows in blocks(shard.num_rows, _BATCH):
                self._open.insert(
                    [next(passages) for _ in range(len(shard.ids[rows]))], np.ascontiguousarray(shard.vectors[rows])
                )
            self._open.set_stamps({**stamps, shard.name: record.digest})

    def finish(self) -> None:
        """Nothing is left to do: every shard is on disk."""

    def count(self) -> int:
        """How many passages there are."""
        with self._open.transaction():
            return self._open.count()

    def nearest(self, queries: Vectors, k: int) -> list[list[str]]:
        """The ids of the k passages nearest to each of queries [q, dim], best first, by vectors alone."""
        with self._open.transaction():
            numbers, vectors = self._open.vectors()
            if self._by_cosine:
                queries, vectors = unit_length(queries), unit_length(vectors)
            best = TopK(len(queries), k)
            best.add(queries @ vectors.T, 0)
            rows = best.hits().rows
            return [[self._open.passage(int(numbers[row])).id for row in found if row >= 0] for found in rows.tolist()]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    @property
    def _open(self) -> IndexFile:
        if self._file is None:
            raise ValueError(f"{self.path} is not open; expected prepare() to be called first")
        return self._file

    def _passages(self, shard: Shard) -> Iterator[IndexedPassage]:
        titles = [""] * shard.num_rows if self._title is None else shard.columns[self._title]
        others = {name: values for name, values in shard.columns.items() if name not in (self._title, self._text)}
        for row, (id, title, text) in enumerate(zip(shard.ids, titles, shard.columns[self._text], strict=True)):
            metadata = {name: values[row] for name, values in others.items() if values[row] is not None}
            yield IndexedPassage(id, title or "", text, shard.name, metadata)


def _number(shard: str) -> int:
    return int(shard.removeprefix("part-"))
