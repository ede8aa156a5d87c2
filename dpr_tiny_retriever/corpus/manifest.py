"""What a folder of shards says of itself: the job, its inputs, each shard, and the rows that could not be used."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dpr_tiny_retriever.atomic_files import replaced_file
from dpr_tiny_retriever.corpus.manifest_checks import BAD_ROW, INPUT, JOB, SHARD, check_number_of_shards, checked
from dpr_tiny_retriever.corpus.rows import BadRow
from dpr_tiny_retriever.corpus.sources import SourceFile

VectorType: TypeAlias = Literal["float32", "float16", "int8"]
ShardFormat: TypeAlias = Literal["parquet", "npy"]

MANIFEST = "manifest.json"
#: The file of rows beside an array of numpy.
ROWS_SUFFIX = ".rows.jsonl"
_FORMAT = 1


class CorpusFolderError(ValueError):
    """A folder of shards is damaged, unfinished, or of another job; the message names what and the remedy."""


@dataclass(frozen=True)
class Job:
    """All that decides what a folder of shards holds, beside its inputs; another job needs another folder."""

    fingerprint: str
    """Of the passage encoder, as Encoder.fingerprint gives it: the same for every backend."""
    model: str
    max_length: int
    prompt: str
    embedding_dim: int
    similarity: str
    dtype: VectorType
    format: ShardFormat
    rows_per_shard: int
    fields: Mapping[str, str | None]
    keep: Sequence[str]
    exact_dot: bool = False
    scale: float | None = None
    """int8 alone: a stored number times this is the vector's."""

    def differences(self, other: Job) -> list[str]:
        """What this job has and the other has not, as "dtype is 'int8', and there is 'float32'"; models by vectors."""
        found = []
        for field in dataclasses.fields(self):
            mine, there = getattr(self, field.name), getattr(other, field.name)
            if field.name not in ("model", "scale") and mine != there:
                found.append(f"{field.name} is {mine!r}, and there is {there!r}")
        return found


@dataclass(frozen=True)
class ShardRecord:
    """One finished shard, which holds the rows of the corpus from first_row on."""

    number: int
    files: Sequence[str]
    first_row: int
    rows: int
    bytes: int
    """Of all files together."""
    digest: str
    """SHA-256 of the files, one after the other, in hexadecimal."""
    content: str
    """Of the ids and contents of all rows, in their order."""
    bad: Sequence[BadRow] = ()
    clipped: int = 0
    """int8 alone: how many numbers lay beyond the scale."""


@dataclass(frozen=True)
class Manifest:
    """A folder's job, its inputs, how many rows they have (None: not known yet), and the shards that are finished."""

    job: Job
    inputs: Sequence[SourceFile]
    num_rows: int | None = None
    shards: Sequence[ShardRecord] = ()

    @property
    def num_shards(self) -> int | None:
        """How many shards there will be; None where the end of the inputs has not been seen."""
        return None if self.num_rows is None else -(-self.num_rows // self.job.rows_per_shard)

    @property
    def missing(self) -> list[int]:
        """The numbers of the shards that are not finished, as far as they are known."""
        done = {shard.number for shard in self.shards}
        return [number for number in range(self.num_shards or 0) if number not in done]

    @property
    def is_complete(self) -> bool:
        """Whether every row has its place in a finished shard."""
        return self.num_rows is not None and not self.missing

    @property
    def bad(self) -> list[BadRow]:
        """The rows of finished shards that could not be used."""
        return [row for shard in self.shards for row in shard.bad]


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest, with the shards that are finished by now.

    Raises FileNotFoundError where there is none, CorpusFolderError where it cannot be used.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {MANIFEST}; expected a folder that `dpr-tiny encode` wrote")
    record = _read_json(path)
    if record.get("format") != _FORMAT:
        raise CorpusFolderError(
            f"{path} has format {record.get('format')!r}; expected {_FORMAT}: encode the corpus into a new folder"
        )
    try:
        job = Job(**checked(record["job"], JOB))
        inputs = [SourceFile(**checked(source, INPUT)) for source in record["inputs"]]
        check_number_of_shards(record["num_rows"], job.rows_per_shard)
        return Manifest(job, inputs, record["num_rows"], finished_shards(folder))
    except (KeyError, TypeError) as error:
        raise CorpusFolderError(f"{path} is damaged ({error}); encode the corpus into a new folder") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace a folder's manifest; the same shards give the same bytes."""
    _write_json(folder / MANIFEST, {"format": _FORMAT, **dataclasses.asdict(manifest)})


def write_shard_record(folder: Path, record: ShardRecord) -> None:
    """Say that a shard is finished: what is not said so is made again."""
    _write_json(folder / f"{shard_name(record.number)}.json", dataclasses.asdict(record))


def finished_shards(folder: Path) -> list[ShardRecord]:
    """The records of finished shards whose files are there in their full length, by number."""
    records = []
    for path in sorted(folder.glob("part-*.json")):
        try:
            record = _read_json(path)
            rows = (
                row if isinstance(row, dict) else dict(zip(BadRow._fields, row, strict=True))
                for row in record.pop("bad")
            )
            bad = [BadRow(**checked(row, BAD_ROW)) for row in rows]
            shard = ShardRecord(**checked(record, SHARD), bad=bad)
            _check_names(path, shard)
        except (KeyError, TypeError, ValueError) as error:
            raise CorpusFolderError(f"{path} is damaged ({error}); delete it, and encode the same again") from None
        files = [folder / name for name in shard.files]
        if all(file.is_file() for file in files) and sum(file.stat().st_size for file in files) == shard.bytes:
            records.append(shard)
    return sorted(records, key=lambda shard: shard.number)


def _check_names(path: Path, shard: ShardRecord) -> None:
    """Raise ValueError for names other than a shard's files, since named files are read, replaced and removed."""
    name = shard_name(shard.number)
    if path.name != f"{name}.json" or list(shard.files) not in (
        [f"{name}.parquet"],
        [f"{name}.npy", f"{name}{ROWS_SUFFIX}"],
    ):
        raise ValueError(f"it names the files {', '.join(shard.files)[:200]!r}")


def shard_name(number: int) -> str:
    """The name of a shard's files, without their suffix."""
    return f"part-{number:05}"


def same_inputs(one: Iterable[SourceFile], other: Iterable[SourceFile]) -> bool:
    """Whether two lists of files have equal sizes and digests in the same order; False if any file has no digest."""
    digests = [[(source.size, source.digest) for source in sources] for sources in (one, other)]
    return digests[0] == digests[1] and all(digest is not None for _, digest in digests[0])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorpusFolderError(f"{path} is damaged ({error}); delete it, and encode the same again") from None
    if not isinstance(record, dict):
        raise CorpusFolderError(f"{path} is damaged; delete it, and encode the same again")
    return record


def _write_json(path: Path, record: dict[str, Any]) -> None:
    with replaced_file(path) as part:
        part.write_text(json.dumps(record, ensure_ascii=True, indent=1) + "\n", encoding="utf-8", newline="\n")
