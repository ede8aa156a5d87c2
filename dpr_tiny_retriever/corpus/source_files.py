"""What is named as input -> the files to read, in an order that does not change, and the format of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from dpr_tiny_retriever.data.beir import beir_file
from dpr_tiny_retriever.data.data_files import DataError, decompressed, described_errors, read_ahead
from dpr_tiny_retriever.data.parquet_files import PARQUET_MAGIC
from dpr_tiny_retriever.data.text_files import HTML_SUFFIXES, MARKUP_OF_SUFFIX, find_text_files, valid_unicode

SourceFormat: TypeAlias = Literal["json", "tsv", "parquet", "text"]

#: The input that is standard input.
STANDARD_INPUT = "-"
_FORMAT_OF_SUFFIX: dict[str, SourceFormat] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".tsv": "tsv",
    ".parquet": "parquet",
    **dict.fromkeys((*MARKUP_OF_SUFFIX, *HTML_SUFFIXES), "text"),
}
_COMPRESSED = (".gz", ".zst")
_FORMATS = ".jsonl, .json and .tsv (each also .gz or .zst), .parquet, .txt, .md, .rst and .html"
#: What a folder of texts is not expected to hold beside them.
_DATA_SUFFIXES = (".jsonl", ".ndjson", ".tsv", ".parquet")


@dataclass(frozen=True)
class Source:
    """A file of a corpus; name is how places, ids and manifests call it: its path as it was given, or found."""

    path: Path
    name: str
    format: SourceFormat
    is_stream: bool = False
    """Whether it is a stream, which can be read only once: standard input or a pipe."""


def find_sources(inputs: Iterable[str | os.PathLike[str]], *, all_folders: bool = False) -> list[Source]:
    """The files that inputs name: files, folders, patterns such as "data/**/*.jsonl.gz", or "-" for standard input.

    Those of a folder or pattern are in the order of their paths; a file that is named twice, also through links, is
    read once. Hidden files and folders are left out, unless all_folders is True. Raises FileNotFoundError where there
    is no such file, ValueError for a folder or file of another kind, DataError for a file that cannot be read.
    """
    sources: dict[str, Source] = {}
    for named in inputs:
        for source in _sources(os.fspath(named), all_folders):
            sources.setdefault(source.name if source.is_stream else os.path.realpath(source.path), source)
    if not sources:
        raise ValueError("found no inputs; expected at least one file, folder or pattern, or - for standard input")
    if len(sources) > 1 and any(source.is_stream for source in sources.values()):
        raise ValueError("found standard input or a pipe among other inputs; expected it alone")
    return list(sources.values())


def format_of_content(head: bytes) -> SourceFormat:
    """The format of what begins with these bytes, decompressed; tab-separated is what is nothing else."""
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    return "json" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else "tsv"


def _sources(named: str, all_folders: bool) -> Iterator[Source]:
    path = Path(named).expanduser()
    if named == STANDARD_INPUT:
        yield Source(path, STANDARD_INPUT, "json", is_stream=True)
    elif path.is_dir():
        yield from _sources_of_folder(path, all_folders)
    elif path.exists():
        yield _source(path)
    elif any(character in named for character in "*?["):
        matches = [match for match in _matches(path, all_folders) if match.is_file()]
        if not matches:
            raise FileNotFoundError(f"no file matches {named}; expected at least one, hidden ones left out")
        yield from map(_source, matches)
    else:
        raise FileNotFoundError(f"{named} is missing; expected a file, a folder, or a pattern of files")


def _source(path: Path) -> Source:
    name = valid_unicode(path.as_posix())
    is_stream = not path.is_file()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_compressed = bool(suffixes) and suffixes[-1] in _COMPRESSED
    by_name = _FORMAT_OF_SUFFIX.get("".join(suffixes[-1 - is_compressed :][:1]))
    if is_stream:
        return Source(path, name, by_name or "json", is_stream=True)
    if by_name == "text" and not is_compressed:
        return Source(path, name, "text")
    try:
        with path.open("rb") as file, described_errors(path, [1]):
            head, _ = read_ahead(decompressed(file), lambda head: len(head) >= len(PARQUET_MAGIC))
    except OSError as error:
        remedy = "expected a file that this user may read, on a disk that works"
        raise DataError(path, f"cannot be read ({error.strerror or error}); {remedy}") from error
    found = format_of_content(head)
    if by_name == "parquet" and found != "parquet" and head:
        raise DataError(path, "is no Parquet file, or a damaged one; expected one that begins with PAR1")
    if found == "parquet" and is_compressed:
        raise DataError(path, "is a compressed Parquet file; decompress it, since Parquet is compressed within")
    if (by_name is None and found == "tsv") or by_name == "text":
        raise ValueError(f"{path} is of no format that is read; expected {_FORMATS}")
    return Source(path, name, found if found == "parquet" else by_name or found)


def _sources_of_folder(folder: Path, all_folders: bool) -> Iterator[Source]:
    """BEIR's corpus, or the texts of a folder, or its files of records; not one kind among the other."""
    for name in ("corpus.jsonl", "corpus.jsonl.zst"):
        if (folder / name).is_file() or (folder / f"{name}.gz").is_file():
            yield _source(folder / name if name.endswith(".zst") else beir_file(folder, name))
            return
    data = list(_data_files(folder, all_folders))
    try:
        texts = find_text_files(folder, all_folders=all_folders)
    except ValueError:
        if not data:
            raise ValueError(f"{folder} holds no file that is read; expected {_FORMATS}") from None
        yield from map(_source, data)
        return
    named = [path for path in data if path.name.lower().endswith(tuple(_ending_of_data()))]
    if named:
        ways = f'"{folder}/**/*{named[0].suffix}" or "{folder}/**/*.md"'
        raise ValueError(f"{folder} holds texts and data, such as {named[0]}; expected one kind: name it as {ways}")
    for unreadable in texts.unreadable:
        raise DataError(folder / unreadable.source, f"cannot be read ({unreadable.reason}); expected files that can be")
    for file in texts.files:
        yield Source(file.path, valid_unicode(file.path.as_posix()), "text")


def _ending_of_data() -> Iterator[str]:
    return (suffix + compressed for suffix in _DATA_SUFFIXES for compressed in ("", *_COMPRESSED))


def _data_files(folder: Path, all_folders: bool) -> Iterator[Path]:
    """Yield the data files below a folder, chosen by suffix, in path order; links to folders are not followed."""
    found = []
    for parent, folders, names in os.walk(folder):
        if not all_folders:
            folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if all_folders or not name.startswith(".")]
    for path in sorted(found):
        suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
        if suffixes and _FORMAT_OF_SUFFIX.get(suffixes[-1], "text") != "text":
            yield path


def _matches(pattern: Path, all_folders: bool) -> list[Path]:
    """The files that match a pattern, in the order of their paths; ** does not follow links to folders."""
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if any(character in part for character in "*?["))
    folder = Path(*parts[:first])
    shown = any(part.startswith(".") for part in parts[first:])

    def is_wanted(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        return all_folders or shown or not hidden

    return sorted(path for path in folder.glob(str(Path(*parts[first:]))) if is_wanted(path))
