"""The command `dpr-tiny encode`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dpr_tiny_retriever.commands import encode_options as options
from dpr_tiny_retriever.commands.console import note, say
from dpr_tiny_retriever.commands.options import AllFolders, Backend, Model, Threads
from dpr_tiny_retriever.progress import is_bar_shown, progress_bar

if TYPE_CHECKING:
    from dpr_tiny_retriever.corpus.encoding import EncodedCorpus, Spread
    from dpr_tiny_retriever.corpus.sources import Sources
    from dpr_tiny_retriever.encoder import Encoder

#: Rows that cannot be used that are named one by one.
_NAMED_BAD = 10
_SECONDS_BETWEEN_LINES = 60


def encode(
    inputs: options.Inputs = None,
    output: options.Output = None,
    check: options.Check = None,
    model: Model = None,
    id: options.Id = None,
    title: options.Title = None,
    text: options.Text = None,
    keep: options.Keep = None,
    dtype: options.Dtype = "float32",
    format: options.Format = "parquet",
    rows_per_shard: options.RowsPerShard = 100_000,
    shard: options.Share = "1/1",
    strict: options.Strict = False,
    max_passage_length: options.MaxPassageLength = None,
    exact_dot: options.ExactDot = False,
    batch_size: options.BatchSize = None,
    all_folders: AllFolders = False,
    backend: Backend = "auto",
    threads: Threads = None,
    engine: options.EngineName = "local",
    workers: options.Workers = None,
) -> None:
    """Encode passages of any number into a folder of shards, which can be resumed, and follows its inputs."""
    if check is not None:
        _check(check)
        return
    if not inputs or output is None:
        raise ValueError("found no inputs or no --output; expected: dpr-tiny encode INPUT... --output FOLDER")
    from dpr_tiny_retriever.checkpoints.bundled_pairs import released_name
    from dpr_tiny_retriever.corpus.encoding import encode_corpus
    from dpr_tiny_retriever.corpus.row_maker import Fields
    from dpr_tiny_retriever.corpus.shard_options import ShardOptions
    from dpr_tiny_retriever.encoder import Encoder

    shards = ShardOptions(dtype, format, rows_per_shard, _share(shard), keep or (), strict)
    threads = threads or (1 if engine == "ray" else None)  # of each worker
    spread = _spread(engine, workers, threads)
    encoder = Encoder.from_pretrained(
        model, side="passage", max_length=max_passage_length, exact_dot=exact_dot, backend=backend, threads=threads
    )
    fields = Fields(id, title, text)
    sources = _sources(inputs, fields, shards.keep, encoder, all_folders=all_folders)
    for line in sources.notes():
        note(line)
    named = {"id": id, "title": title, "text": text}
    with Progress() as report:
        done = encode_corpus(
            sources,
            output,
            encoder,
            shards,
            model=released_name(model),
            fields=named,
            batch_size=batch_size,
            progress=report.count,
            spread=spread,
        )
    _summarize(output, done)


class Progress:
    """A bar on a terminal; elsewhere a line a minute."""

    def __enter__(self) -> Progress:
        self._bar = progress_bar(total=None, unit=" passages", show_progress=None, description="encoding")
        self._started = self._latest = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def count(self, encoded: int, expected: int | None) -> None:
        self._bar.total = expected
        self._bar.update(encoded - self._bar.n)
        now = time.monotonic()
        if not is_bar_shown() and now - self._latest >= _SECONDS_BETWEEN_LINES:
            self._latest = now
            rate = encoded / (now - self._started)
            left = ""
            if expected is not None and encoded:  # where all vectors so far were copied, there is no rate yet
                left = f", some {max(0, expected - encoded) / rate / 60:,.0f} minutes left"
            note(f"{encoded:,} passages encoded, {rate:,.0f} a second{left}")


def _sources(inputs: list[str], fields: object, keep: object, encoder: Encoder, *, all_folders: bool) -> Sources:
    from functools import partial

    from dpr_tiny_retriever.corpus.sources import Sources
    from dpr_tiny_retriever.data.text_passages import split

    room = encoder.tokenizer.room(encoder.max_length)
    splitter = partial(split, room=room, count=encoder.tokenizer.count)
    return Sources(inputs, fields, keep, split=splitter, all_folders=all_folders)  # type: ignore[arg-type]


def _spread(engine: str, workers: int | None, threads: int | None) -> Spread | None:
    if engine == "local":
        if workers is not None:
            raise ValueError(f"found --workers {workers} without Ray; expected --engine ray too, or --threads alone")
        return None
    from functools import partial

    from dpr_tiny_retriever.corpus.ray_engine import import_ray, run_on_ray

    import_ray()  # before inputs are read
    return partial(run_on_ray, workers=workers, threads=threads)


def _share(shard: str) -> tuple[int, int]:
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise ValueError(f"--shard is {shard!r}; expected I/N, such as 2/8: the second of eight parts")
    return int(part), int(parts)


def _summarize(output: Path, done: EncodedCorpus) -> None:
    manifest = done.manifest
    rate = f", {done.encoded / done.seconds:,.0f} a second" if done.encoded and done.seconds else ""
    copied = f", {done.copied:,} vectors copied" if done.copied else ""
    gone = f", {done.deleted:,} ids gone (deleted.txt)" if done.deleted else ""
    shards = f"{len(manifest.shards):,} of {manifest.num_shards or 0:,} shards"
    say(f"{output}: {shards}, {done.encoded:,} passages encoded{copied}{gone} in {done.seconds:.1f} s{rate}")
    bad = manifest.bad
    for row in bad[:_NAMED_BAD]:
        note(f"{row.place}: {row.reason}")
    if bad:
        note(f"{len(bad):,} rows cannot be used: they have no vector, and stand in manifest.json with the reason")
    if not manifest.is_complete:
        note(f"{len(manifest.missing):,} shards are still to be made, by the other parts")


def _check(folder: Path) -> None:
    from dpr_tiny_retriever.corpus.shard_folder import ShardFolder

    found = ShardFolder(folder)
    job, manifest = found.manifest.job, found.manifest
    rows = sum(shard.rows for shard in manifest.shards)
    say(
        f"{folder}: {len(manifest.shards):,} shards, {rows:,} rows, {len(manifest.bad):,} of them without a vector, "
        f"{job.dtype} [{job.embedding_dim}] by {job.model} ({job.fingerprint[:12]})"
    )
    problems = found.problems()
    for problem in problems:
        note(problem, error=True)
    if problems:
        raise typer.Exit(1)
