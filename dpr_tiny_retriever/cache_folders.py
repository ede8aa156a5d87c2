"""The folders in the user's cache where this package keeps what it can make again: indexes, embeddings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class CacheFolder:
    """One entry of the package's cache and the bytes that its files hold."""

    path: Path
    size: int


def user_cache(name: str) -> Path:
    """The folder of that name in the user's cache, where the platform's convention puts it; it may not exist yet.

    Raises FileNotFoundError where the user has no home folder and the environment names no cache folder.
    """
    return _root() / name


def cache_folders() -> list[CacheFolder]:
    """Everything that this or an earlier version keeps in the user's cache, in the order of names."""
    try:
        entries = sorted(_root().iterdir())
    except FileNotFoundError:  # nothing was kept yet, or there is no home folder to keep it in
        return []
    return [CacheFolder(path, sum(_sizes(path))) for path in entries]


def clear_cache_folders() -> list[CacheFolder]:
    """Remove everything that cache_folders() lists; returns what was removed."""
    removed = cache_folders()
    for folder in removed:
        if folder.path.is_dir() and not folder.path.is_symlink():
            shutil.rmtree(folder.path)
        else:
            folder.path.unlink()
    return removed


def _root() -> Path:
    try:
        # Without appauthor=False, the path on Windows would hold the name twice.
        root = platformdirs.user_cache_path("dpr-tiny-retriever", appauthor=False)
    except RuntimeError:  # of newer versions of platformdirs; older ones leave "~" as it is
        root = None
    if root is None or not root.is_absolute():
        raise FileNotFoundError(
            "found neither a home folder nor a cache folder of the user; expected a place to keep files in: "
            "set HOME or XDG_CACHE_HOME to an absolute path"
        )
    return root


def _sizes(path: Path) -> Iterator[int]:
    """Sizes in bytes of a file, or of all files below a folder; what vanishes meanwhile is left out."""
    if not path.is_dir() or path.is_symlink():
        yield path.lstat().st_size
        return
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                yield os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
