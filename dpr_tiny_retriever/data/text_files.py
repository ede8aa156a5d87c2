"""Folders of text files -> texts, and what could not be read."""

from __future__ import annotations

import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dpr_tiny_retriever.data.text_sections import Markup

#: Raised whenever texts are split by other rules: stamps change with it, so that indexes follow.
SPLITTING_RULES = 2

#: The suffixes of texts with headings, and how these are marked.
MARKUP_OF_SUFFIX: Mapping[str, Markup] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "restructuredtext",
    ".txt": "plain",
}
HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
#: What such a folder is said to hold.
KINDS_OF_FILES = ".txt, .md, .rst and .html"
_SUFFIXES = MARKUP_OF_SUFFIX.keys() | HTML_SUFFIXES
#: Documents that are not read, but counted.
_DOCUMENT_SUFFIXES = frozenset(
    ".adoc .asciidoc .djvu .doc .docm .docx .eml .epub .fb2 .ipynb .key .mdx .mobi .msg .numbers .odp .ods .odt .org "
    ".pages .pdf .ppt .pptx .ps .rtf .tex .textile .wiki .wpd .xls .xlsm .xlsx .xps".split()
)
#: Folders of copies and of what programs made; so are hidden folders and Python's virtual environments.
_GENERATED_FOLDERS = frozenset({"node_modules", "bower_components", "__pycache__", "site-packages"})
#: Where HTML says in which encoding it is written.
_STATED_ENCODING = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)
_STATED_WITHIN = 1024  # bytes, by the standard
#: Seconds after which a change of a file is sure to show in its time, and on file systems that keep whole seconds.
_TIME_STEP, _WHOLE_SECONDS_STEP = 0.1, 2.0


@dataclass(frozen=True)
class Text:
    """One text, its title, and where it comes from."""

    title: str
    content: str
    source: str


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that was passed over, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class TextFile:
    """A file to read, its path within the folder in valid Unicode, and a stamp that changes when the file does."""

    path: Path
    source: str
    stamp: str


@dataclass(frozen=True)
class FoundFiles:
    """What a folder holds: the files to read, in the order of their paths, and what cannot be read."""

    files: list[TextFile]
    unreadable: list[Unreadable]
    left_out: dict[str, int]
    """How many documents of other kinds there are: suffix, such as ".pdf" -> count, the most frequent first."""


def find_text_files(folder: Path, *, all_folders: bool = False) -> FoundFiles:
    """Find the .txt, .md, .rst and .html files of a folder and of the folders in it.

    Hidden folders, node_modules and the like are left out, unless all_folders is True. Raises FileNotFoundError or
    NotADirectoryError for a wrong folder, ValueError where it holds no such file.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; expected one that holds {KINDS_OF_FILES} files")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; expected the folder that holds it")
    files: list[TextFile] = []
    unreadable: list[Unreadable] = []
    left_out: Counter[str] = Counter()
    for path in _walk(folder, all_folders, unreadable, left_out):
        source = valid_unicode(os.path.relpath(path, folder))
        try:
            files.append(TextFile(Path(path), source, _stamp(path)))
        except OSError as error:
            unreadable.append(Unreadable(source, error.strerror or str(error)))
    if not files and not unreadable:
        hint = "" if all_folders else "; hidden folders, node_modules and the like were left out"
        others = f" but {counted_suffixes(left_out)}" if left_out else ""
        kinds = KINDS_OF_FILES.replace("and", "or")
        raise ValueError(f"{folder} holds no {kinds} file{others}; expected at least one, at any depth{hint}")
    return FoundFiles(sorted(files, key=lambda file: file.path), unreadable, dict(left_out.most_common()))


def counted_suffixes(left_out: Mapping[str, int]) -> str:
    """Such as "12 .pdf, 3 .docx"."""
    return ", ".join(f"{count:,} {suffix}" for suffix, count in left_out.items())


def read_text_files(files: Iterable[TextFile]) -> Iterator[Text | Unreadable]:
    """Read each file; one that is no text in UTF-8 or cannot be read keeps no other from being read.

    A page of HTML may also be in the encoding that it states.
    """
    for file in files:
        try:
            content = _decoded(file.path.read_bytes(), file.path.suffix.lower() in HTML_SUFFIXES)
        except UnicodeDecodeError as error:
            yield Unreadable(file.source, f"not UTF-8 (byte {error.start}); convert it")
        except OSError as error:
            yield Unreadable(file.source, error.strerror or str(error))
        else:
            if "\0" in content:
                at = content.index("\0")
                yield Unreadable(file.source, f"no text, or in UTF-16 (NUL at character {at}); convert it to UTF-8")
            else:
                yield Text(Path(file.source).stem, content, file.source)


def read_python_reference() -> list[Text]:
    """The topics of the Python language reference that every Python carries for its help()."""
    from pydoc_data.topics import topics

    return [Text(name, content, f"help({name!r})") for name, content in sorted(topics.items())]


def valid_unicode(path: str) -> str:
    """A path for display and storage; bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _decoded(content: bytes, is_html: bool) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        stated = _STATED_ENCODING.search(content[:_STATED_WITHIN]) if is_html else None
        try:
            return content.decode(stated[1].decode("ascii")) if stated else content.decode()
        except (LookupError, UnicodeError):  # there is no such encoding, or it is another
            return content.decode()


def _walk(folder: Path, all_folders: bool, unreadable: list[Unreadable], left_out: Counter[str]) -> Iterator[str]:
    """Paths with the suffixes of texts, other documents counted; links to folders are not followed."""

    def note(error: OSError) -> None:
        unreadable.append(Unreadable(valid_unicode(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=note):
        if not all_folders:
            folders[:] = [name for name in folders if not _is_left_out(parent, name)]
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in _SUFFIXES:
                yield os.path.join(parent, name)
            elif suffix in _DOCUMENT_SUFFIXES:
                left_out[suffix] += 1


def _is_left_out(parent: str, name: str) -> bool:
    environment = os.path.join(parent, name, "pyvenv.cfg")  # a virtual environment of Python
    return name.startswith(".") or name in _GENERATED_FOLDERS or os.path.isfile(environment)


def _stamp(path: str) -> str:
    """A text that is another one after any change of the file; raises OSError where there is no file to read."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    step = _TIME_STEP if status.st_mtime_ns % 1_000_000_000 else _WHOLE_SECONDS_STEP
    if abs(time.time() - status.st_mtime) < step:
        return ""  # a change from now on might leave the same size and time: such a file is read again next time
    return f"{SPLITTING_RULES} {status.st_size} {status.st_mtime_ns}"
