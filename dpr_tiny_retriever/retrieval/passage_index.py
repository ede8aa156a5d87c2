"""An index of passages on disk: encoded once, kept in one file, searched by vectors and words."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np

from dpr_tiny_retriever.data.passage_store import blocks
from dpr_tiny_retriever.passage import as_ids, as_queries
from dpr_tiny_retriever.progress import progress_bar
from dpr_tiny_retriever.retrieval.blended_search import list_length
from dpr_tiny_retriever.retrieval.bm25_words import bm25_words, matched_words
from dpr_tiny_retriever.retrieval.fusion import Placement, RankedList, blend, explain
from dpr_tiny_retriever.retrieval.index_file import IndexedPassage, IndexFile
from dpr_tiny_retriever.retrieval.index_vectors import IndexVectors
from dpr_tiny_retriever.retrieval.metadata_labels import Where, allowed_labels
from dpr_tiny_retriever.retrieval.nearest_neighbours import scores_are_cosines
from dpr_tiny_retriever.threads import WorkerPool
from dpr_tiny_retriever.types import SearchMode, Vectors

if TYPE_CHECKING:
    from dpr_tiny_retriever.dual_encoder import DualEncoder

#: Passages encoded and written at once: what an interruption can cost.
_BATCH = 1024


@dataclass(frozen=True)
class FoundPassage:
    """A passage that was found, and why."""

    passage: IndexedPassage
    score: float
    """What the hits are ordered by: the blend's sum, the dot product or cosine with the question, or BM25."""
    placement: Placement
    """Its rank and score among the best passages by vector and among those by words."""
    words: list[str]
    """The words of the question that stand in it, lower-cased, without function words."""


class Changes(NamedTuple):
    """How many passages were added and deleted."""

    added: int
    deleted: int


class PassageIndex:
    """Passages, their vectors and their words in one SQLite file.

    What is added is on disk, in steps of 1,024 passages: a process that is killed loses at most the step underway.
    Thread-safe; several processes may search while one writes. All vectors are held in memory while the index is
    searched, 4 bytes x embedding_dim a passage (51 MB for 100,000 passages of 128 floats), the texts are not.
    """

    def __init__(self, path: str | os.PathLike[str], encoder: DualEncoder, *, model_name: str = "") -> None:
        """Open an index, or begin one where there is no file; it belongs to the model that made its vectors.

        model_name is how messages call that model. Raises UnusableIndexError for a file that is damaged or belongs to
        another version or model, TypeError for an encoder that is no DualEncoder.
        """
        if not hasattr(encoder, "passage_encoder"):
            raise TypeError(f"encoder is {encoder!r}; expected a DualEncoder: DualEncoder.from_pretrained() makes one")
        self.encoder = encoder
        self.path = Path(path)
        fingerprint = encoder.passage_encoder.fingerprint()
        self._file = IndexFile(self.path, model=model_name, fingerprint=fingerprint, dim=encoder.embedding_dim)
        self._cosine = scores_are_cosines(encoder.similarity, normalize=encoder.normalize)
        by_cosine = encoder.similarity == "cosine" and not encoder.normalize
        self._vectors = IndexVectors(
            self._file, encoder.embedding_dim, by_cosine=by_cosine, of_unit_length=encoder.normalize
        )

    @classmethod
    def create(cls, path: str | os.PathLike[str], encoder: DualEncoder, *, model_name: str = "") -> PassageIndex:
        """Begin an index; raises FileExistsError where there is a file."""
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists; expected the path of a new file: open() reads an index")
        return cls(path, encoder, model_name=model_name)

    @classmethod
    def open(cls, path: str | os.PathLike[str], encoder: DualEncoder, *, model_name: str = "") -> PassageIndex:
        """Open an index that was made with the same model; raises FileNotFoundError where there is no file."""
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} does not exist; expected an index: create() begins one")
        return cls(path, encoder, model_name=model_name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> PassageIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PassageIndex({str(self.path)!r}, {self.encoder!r})"

    def __len__(self) -> int:
        with self._file.transaction():
            return self._file.count()

    def __contains__(self, id: object) -> bool:
        with self._file.transaction():
            return isinstance(id, str) and bool(self._file.present([id]))

    def ids(self) -> list[str]:
        """The ids of all passages, in the order in which they were added."""
        with self._file.transaction():
            return self._file.ids()

    def get(self, id: str) -> IndexedPassage | None:
        """The passage of an id; None where there is none."""
        with self._file.transaction():
            return self._file.passage_of_id(id)

    def add(self, passages: Iterable[IndexedPassage], *, show_progress: bool | None = None) -> None:
        """Encode and store passages under new ids; raises ValueError, and stores nothing, where an id is taken."""
        new = _by_id(passages)
        with self._file.transaction():
            taken = self._file.present(new)
        if taken:
            raise ValueError(f"the index holds {_some(taken)} already; expected new ids, or update() to replace them")
        self._store(new, show_progress)

    def update(self, passages: Iterable[IndexedPassage], *, show_progress: bool | None = None) -> None:
        """Encode and store passages, replacing those with the same ids."""
        self._store(_by_id(passages), show_progress, replace=True)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages by id; returns how many there were, since an unknown id is passed over."""
        gone = set(as_ids(ids))
        with self._file.transaction(write=True):
            return self._file.delete(gone)

    def changed_sources(self, stamps: Mapping[str, str]) -> set[str]:
        """Sources of which the index knows another stamp or none, and those it knows that are gone.

        A stamp is any text that changes with its source, such as a file's size and time; see synchronize.
        """
        with self._file.transaction():
            known = self._file.stamps()
        return {source for source in stamps.keys() | known.keys() if stamps.get(source) != known.get(source)}

    def synchronize(
        self,
        passages: Iterable[IndexedPassage],
        *,
        unchanged: Collection[str] = (),
        stamps: Mapping[str, str] | None = None,
        show_progress: bool | None = None,
    ) -> Changes:
        """Make the index hold these passages, those of the unchanged sources, and no others.

        A passage whose id is there is taken as it is and not encoded again: derive ids from what passages say. At the
        end the stamps are stored; a source with an empty one counts as changed the next time too. What an interrupted
        call has stored, the next one finds.
        """
        wanted = _by_id(passages)
        with self._file.transaction():
            sources = self._file.sources_of_ids()
        gone = [id for id, source in sources.items() if id not in wanted and source not in unchanged]
        if gone:
            self.delete(gone)
        new = {id: passage for id, passage in wanted.items() if id not in sources}
        self._store(new, show_progress)
        if stamps is not None:
            with self._file.transaction(write=True):
                self._file.set_stamps({source: stamp for source, stamp in stamps.items() if stamp})
        return Changes(len(new), len(gone))

    def search(
        self, question: str, top_k: int = 10, *, mode: SearchMode = "blend", where: Where | None = None
    ) -> list[FoundPassage]:
        """The best passages for a question, best first, at most top_k; among equals the one added first.

        mode: "blend" ranks by vectors and words together, "dense" by vectors alone, "bm25" by words alone: then
        passages that share no word with the question are not found. A blend is made of the 100 best passages (top_k,
        if that is more) of either list.
        where: metadata key -> a value, or a list of allowed values, of which a passage must have one under each key.
        Values are texts, numbers, True, False or None. The key "source" is a passage's source, unless its metadata have
        a field of that name.
        """
        allowed = [] if where is None else allowed_labels(where)
        _check_search(question, top_k, mode)
        depth = list_length(top_k)
        query = None if mode == "bm25" else self.encoder.encode_queries([question])[0]
        with self._file.transaction():
            among = self._file.labelled(allowed) if allowed else None
            dense = sparse = RankedList([], [])
            if query is not None:
                dense = self._vectors.nearest(query, depth, among=among)
            if mode != "dense":
                sparse = self._file.search_words(bm25_words(question), depth, among=among)
            if mode == "blend":
                best = blend(dense, sparse, top_k, depth=depth, cosine=self._cosine)
            else:
                best = dense if mode == "dense" else sparse
            numbers = np.asarray(best.ids, np.int64)[:top_k].tolist()
            passages = [self._file.passage(number) for number in numbers]
        scores = np.asarray(best.scores)[:top_k].tolist()
        return [
            FoundPassage(passage, score, placement, matched_words(question, (passage.title, passage.text)))
            for passage, score, placement in zip(passages, scores, explain(numbers, dense, sparse), strict=True)
        ]

    def _store(
        self, passages: Mapping[str, IndexedPassage], show_progress: bool | None, *, replace: bool = False
    ) -> None:
        """Encode and write step by step: one batch is written while the next is encoded."""
        waiting = list(passages.values())
        batches = [waiting[part] for part in blocks(len(waiting), _BATCH)]
        if not batches:
            return
        with (
            progress_bar(total=len(waiting), unit=" passages", show_progress=show_progress) as bar,
            WorkerPool(1) as pool,
        ):
            encoding = pool.submit(partial(self._encoded, batches[0]))
            for batch, following in zip(batches, [*batches[1:], None], strict=True):
                vectors = encoding.result()
                if following is not None:
                    encoding = pool.submit(partial(self._encoded, following))
                self._write(batch, vectors, replace)
                bar.update(len(batch))

    def _encoded(self, batch: Sequence[IndexedPassage]) -> Vectors:
        pairs = [(passage.title, passage.text) for passage in batch]
        return self.encoder.encode_passages(pairs, show_progress=False)

    def _write(self, batch: Sequence[IndexedPassage], vectors: Vectors, replace: bool) -> None:
        """Write a batch in one transaction; without replace, ids that another process has stored meanwhile are kept."""
        with self._file.transaction(write=True):
            taken = self._file.present([passage.id for passage in batch])
            if replace:
                self._file.delete(taken)
                taken = set()
            kept = [row for row, passage in enumerate(batch) if passage.id not in taken]
            self._file.insert([batch[row] for row in kept], vectors[kept])


def _check_search(question: str, top_k: int, mode: str) -> None:
    as_queries([question])
    if not isinstance(top_k, int) or isinstance(top_k, bool):
        raise TypeError(f"top_k is {top_k!r}; expected a whole number")
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected at least 1")
    if mode not in get_args(SearchMode):
        raise ValueError(f"mode is {mode!r}; expected {', '.join(get_args(SearchMode))}")


def _by_id(passages: Iterable[IndexedPassage]) -> dict[str, IndexedPassage]:
    if isinstance(passages, IndexedPassage):
        raise TypeError("found an IndexedPassage; expected a list of them (a single one goes into a list of one)")
    by_id: dict[str, IndexedPassage] = {}
    for passage in passages:
        if not isinstance(passage, IndexedPassage):
            raise TypeError(f"found {type(passage).__name__}; expected IndexedPassage(id, title, text, ...)")
        passage.check()
        if by_id.setdefault(passage.id, passage) != passage:
            raise ValueError(f"two passages have the id {passage.id!r}; expected an id for each")
    return by_id


def _some(ids: Collection[str]) -> str:
    shown = ", ".join(repr(id) for id in sorted(ids)[:3])
    return f"{shown} and {len(ids) - 3} more" if len(ids) > 3 else shown
