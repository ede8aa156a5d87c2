"""A corpus of any size -> a folder of shards: one job, which goes on where it was, or follows its inputs."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.corpus.drafts import Drafter
from dpr_tiny_retriever.corpus.former_vectors import FormerVectors
from dpr_tiny_retriever.corpus.manifest import (
    MANIFEST,
    CorpusFolderError,
    Job,
    Manifest,
    ShardRecord,
    read_manifest,
    same_inputs,
    shard_name,
    write_manifest,
)
from dpr_tiny_retriever.corpus.rows import BadRow, CorpusRow
from dpr_tiny_retriever.corpus.shard_folder import ShardFolder
from dpr_tiny_retriever.corpus.shard_maker import ShardMaker, ShardTask, shard_tasks, write_shard
from dpr_tiny_retriever.corpus.shard_options import ShardOptions
from dpr_tiny_retriever.corpus.shards import check_format, int8_scale
from dpr_tiny_retriever.corpus.sources import SourceFile, Sources
from dpr_tiny_retriever.corpus.update_folder import link_shard, lookup_file, take_place, update_folder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.exact_dot import refuse_rounded
from dpr_tiny_retriever.types import Vectors

#: Rows at the beginning of the inputs that decide the scale of int8.
_SAMPLED = 4096
#: Has the processes of an engine make the shards of all tasks: run_on_ray does.
Spread: TypeAlias = Callable[[Iterator[ShardTask], ShardMaker], Iterator[ShardRecord]]
#: Where an update lists the ids that are no longer in the inputs, a line each.
DELETED = "deleted.txt"


@dataclass(frozen=True)
class EncodedCorpus:
    """What a run has done."""

    manifest: Manifest
    encoded: int
    """Texts that were encoded."""
    copied: int
    """Vectors that were taken from the folder as it was."""
    deleted: int
    """Ids that the inputs have no longer."""
    seconds: float


def encode_corpus(
    sources: Sources,
    output: Path,
    encoder: Encoder,
    options: ShardOptions | None = None,
    *,
    model: str = "",
    fields: dict[str, str | None] | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int | None], None] = lambda encoded, expected: None,
    spread: Spread | None = None,
) -> EncodedCorpus:
    """Encode the rows of sources into a folder of shards; see ShardFolder for reading it.

    A run that was killed goes on with its next shard, and gives the same bytes as one that was not. Where the inputs
    have changed, vectors are taken from the folder by id and content, and it is replaced whole. model and fields are
    what the manifest says of them. progress is told how many texts are encoded so far, and how many there will be, as
    far as that can be guessed. spread has the processes of an engine make the shards, with the same bytes; without it
    this process does. Raises CorpusFolderError where the folder is of another job, DataError for inputs
    that cannot be read, OSError where it cannot be written; finished shards stay.
    """
    started, options = time.monotonic(), options or ShardOptions()
    check_format(options.format)
    inputs = sources.files()
    former = _former(output)
    if former is None and any(output.glob("part-*.json")):
        raise CorpusFolderError(
            f"{output} holds shards without {MANIFEST}, which says of what job they are; expected another folder"
        )
    job = _job(encoder, options, model, fields or {}, None if former is None else former.job.scale)
    if former is not None and (differences := job.differences(former.job)):
        raise CorpusFolderError(f"{output} is of another job: {'; '.join(differences)}; expected another folder")
    is_stream = any(source.digest is None for source in inputs)
    is_same = former is None or same_inputs(former.inputs, inputs) or (is_stream and not former.is_complete)
    folder = output if is_same else update_folder(output)
    present = former if is_same else _former(folder)
    if is_same and present is not None and present.is_complete:
        shutil.rmtree(update_folder(output), ignore_errors=True)  # what a killed update leaves
    elif not is_same and (present is None or present.job != job or not same_inputs(present.inputs, inputs)):
        shutil.rmtree(folder, ignore_errors=True)
        present = None
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(sources, folder, encoder, options, job, inputs, None if is_same else ShardFolder(output))
    manifest = run.make(present, batch_size, progress, spread)
    if run.former is not None and manifest.is_complete:
        take_place(folder, output)
    return EncodedCorpus(manifest, run.encoded, run.copied, run.deleted, time.monotonic() - started)


class _Run:
    """One run over the inputs of a job."""

    def __init__(
        self,
        sources: Sources,
        folder: Path,
        encoder: Encoder,
        options: ShardOptions,
        job: Job,
        inputs: Sequence[SourceFile],
        former: ShardFolder | None,
    ) -> None:
        self.sources, self.folder, self.encoder, self.options = sources, folder, encoder, options
        self.job, self.inputs, self.former = job, inputs, former
        self.encoded = self.copied = self.deleted = 0

    def make(
        self,
        present: Manifest | None,
        batch_size: int | None,
        progress: Callable[[int, int | None], None],
        spread: Spread | None,
    ) -> Manifest:
        """Make what is missing of this run's share; returns the folder's manifest."""
        is_trusted = present is not None and same_inputs(present.inputs, self.inputs)
        finished = {} if present is None else {shard.number: shard for shard in present.shards}
        if present is not None and is_trusted and not self._missing(present):
            return self._fold(present.num_rows)
        first = self._first_missing(finished) if is_trusted and self.former is None else 0
        rows = self.sources.rows(first * self.job.rows_per_shard)
        if self.job.dtype == "int8" and self.job.scale is None:
            rows = self._scaled(rows)
        self._fold(present.num_rows if present is not None and is_trusted else None)
        lookup = lookup_file(self.folder, self.options.share)
        table = None if self.former is None else FormerVectors(self.former, lookup)
        drafter = Drafter(
            rows,
            self.job.rows_per_shard,
            first,
            self.options.share,
            finished,
            is_trusted,
            self.options.keep,
            table,
            self.options.strict,
            None if self.former is None else partial(link_shard, self.former, folder=self.folder),
        )
        if spread is None:
            self._encode(drafter, batch_size, progress)
        else:
            self._spread(drafter, spread, batch_size, progress)
        if table is not None:
            self._list_deleted(table)
            lookup.unlink(missing_ok=True)
        return self._fold(drafter.num_rows)

    def _encode(self, drafter: Drafter, batch_size: int | None, progress: Callable[[int, int | None], None]) -> None:
        """Write each draft when its vectors are there."""
        waiting: deque[Vectors] = deque()
        count = 0

        def write_ready() -> None:
            nonlocal count
            while drafter.ready and count >= len(drafter.ready[0].unknown):
                draft = drafter.ready.popleft()
                vectors = _taken(waiting, len(draft.unknown), self.encoder.embedding_dim)
                write_shard(self.folder, self.job, draft, vectors)
                self.copied += len(draft.known)
                count -= len(draft.unknown)

        while not drafter.is_finished:
            for block in self.encoder.stream(drafter.texts(), batch_size=batch_size, show_progress=False):
                waiting.append(block)
                count += len(block)
                self.encoded += len(block)
                progress(self.encoded, drafter.expected(self.sources.share_read()))
                write_ready()
            write_ready()

    def _spread(
        self,
        drafter: Drafter,
        spread: Spread,
        batch_size: int | None,
        progress: Callable[[int, int | None], None],
    ) -> None:
        """Have the drafts made by the processes of an engine."""
        counts: dict[int, int] = {}

        def tasks() -> Iterator[ShardTask]:
            for task in shard_tasks(drafter):
                counts[task.draft.number] = len(task.texts)
                self.copied += len(task.draft.known)
                yield task

        for record in spread(tasks(), ShardMaker(self.encoder, self.folder.resolve(), self.job, batch_size)):
            self.encoded += counts.pop(record.number)
            progress(self.encoded, drafter.expected(self.sources.share_read()))

    def _scaled(self, rows: Iterator[CorpusRow | BadRow]) -> Iterator[CorpusRow | BadRow]:
        sample = list(islice(rows, _SAMPLED))
        pairs = [(row.title, row.text) for row in sample if isinstance(row, CorpusRow)]
        vectors = self.encoder.encode_pairs(pairs, show_progress=False)
        self.job = replace(self.job, scale=int8_scale(vectors))
        return chain(sample, rows)

    def _list_deleted(self, table: FormerVectors) -> None:
        with replaced_file(self.folder / DELETED) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            for id in table.gone():
                file.write(f"{id}\n")
                self.deleted += 1
        table.close()

    def _missing(self, present: Manifest) -> bool:
        part, parts = self.options.share
        return present.num_rows is None or any(number % parts == part - 1 for number in present.missing)

    def _first_missing(self, finished: Iterable[int]) -> int:
        """The shard from which rows have to be read: one that has some, so that their end is found."""
        part, parts = self.options.share
        done = set(finished)
        number = part - 1
        while number in done:
            number += parts
        return min(number, max(done, default=0))

    def _fold(self, num_rows: int | None) -> Manifest:
        """Write the manifest with all shards that are finished by now, those of other machines included."""
        write_manifest(self.folder, Manifest(self.job, self.inputs, num_rows))
        manifest = read_manifest(self.folder)
        if num_rows is not None:
            last = -(-num_rows // self.job.rows_per_shard)
            for shard in manifest.shards:
                if shard.number >= last:  # of inputs that were longer
                    for name in (f"{shard_name(shard.number)}.json", *shard.files):
                        (self.folder / name).unlink()
            manifest = replace(manifest, shards=[shard for shard in manifest.shards if shard.number < last])
            write_manifest(self.folder, manifest)
        return manifest


def _job(
    encoder: Encoder, options: ShardOptions, model: str, fields: dict[str, str | None], scale: float | None
) -> Job:
    refuse_rounded(encoder.exact_dot, options.dtype)
    return Job(
        fingerprint=encoder.fingerprint(),
        model=model,
        max_length=encoder.max_length,
        prompt=encoder.tokenizer.prompt,
        embedding_dim=encoder.embedding_dim,
        similarity=encoder.similarity,
        exact_dot=encoder.exact_dot,
        dtype=options.dtype,
        format=options.format,
        rows_per_shard=options.rows_per_shard,
        fields=fields,
        keep=list(options.keep),
        scale=scale if options.dtype == "int8" else None,
    )


def _former(folder: Path) -> Manifest | None:
    return read_manifest(folder) if (folder / MANIFEST).is_file() else None


def _taken(waiting: deque[Vectors], count: int, width: int) -> Vectors:
    """The first vectors [count, width] of those that wait; what is left of a block goes on waiting."""
    parts = [np.empty((0, width), np.float32)]
    while count:
        block = waiting.popleft()
        parts.append(block[:count])
        if len(block) > count:
            waiting.appendleft(block[count:])
        count -= len(parts[-1])
    return np.concatenate(parts)
