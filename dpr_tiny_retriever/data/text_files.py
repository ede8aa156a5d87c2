"""Folders of text files -> texts, and what could not be read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Raised whenever texts are split by other rules: stamps change with it, so that indexes follow.
SPLITTING_RULES = 2

_SUFFIXES = (".md", ".txt")
#: Folders of copies and of what programs made; so are hidden folders and Python's virtual environments.
_GENERATED_FOLDERS = frozenset({"node_modules", "bower_components", "__pycache__", "site-packages"})
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


def find_text_files(folder: Path, *, all_folders: bool = False) -> tuple[list[TextFile], list[Unreadable]]:
    """Every .txt and .md file of a folder and of the folders in it, in the order of their paths; and what is no file.

    Hidden folders, node_modules and the like are left out, unless all_folders is True. Raises FileNotFoundError or
    NotADirectoryError for a wrong folder, ValueError where it holds no such file.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; expected one that holds .txt or .md files")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; expected the folder that holds it")
    files: list[TextFile] = []
    unreadable: list[Unreadable] = []
    for path in _walk(folder, all_folders, unreadable):
        source = _valid_unicode(os.path.relpath(path, folder))
        try:
            files.append(TextFile(Path(path), source, _stamp(path)))
        except OSError as error:
            unreadable.append(Unreadable(source, error.strerror or str(error)))
    if not files and not unreadable:
        hint = "" if all_folders else "; hidden folders, node_modules and the like were left out"
        raise ValueError(f"{folder} holds no {' or '.join(_SUFFIXES)} file; expected at least one, at any depth{hint}")
    return sorted(files, key=lambda file: file.path), unreadable


def read_text_files(files: Iterable[TextFile]) -> Iterator[Text | Unreadable]:
    """Read each file; one that is not UTF-8 or cannot be read keeps no other from being read."""
    for file in files:
        try:
            content = file.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            yield Unreadable(file.source, f"not UTF-8 (byte {error.start}); convert it")
        except OSError as error:
            yield Unreadable(file.source, error.strerror or str(error))
        else:
            yield Text(Path(file.source).stem, content, file.source)


def read_python_reference() -> list[Text]:
    """The topics of the Python language reference that every Python carries for its help()."""
    from pydoc_data.topics import topics

    return [Text(name, content, f"help({name!r})") for name, content in sorted(topics.items())]


def _walk(folder: Path, all_folders: bool, unreadable: list[Unreadable]) -> Iterator[str]:
    """Paths with the suffixes of texts; links to folders are not followed."""

    def note(error: OSError) -> None:
        unreadable.append(Unreadable(_valid_unicode(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=note):
        if not all_folders:
            folders[:] = [name for name in folders if not _is_left_out(parent, name)]
        yield from (os.path.join(parent, name) for name in names if os.path.splitext(name)[1].lower() in _SUFFIXES)


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


def _valid_unicode(path: str) -> str:
    """A path for display and storage; bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
