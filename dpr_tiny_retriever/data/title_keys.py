"""Metadata keys under which loaders, converters and splitters leave the titles of documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

#: Best first; compared without case and anything but letters and digits: "Source Title" is "sourcetitle".
_TITLE_KEYS = "title doctitle documenttitle pagetitle sourcetitle headline heading header header1 subject name".split()


def likely_title_key(
    metadatas: Iterable[Mapping[str, Any]], *, title_key: str | None = None, used: Collection[str] = ()
) -> str | None:
    """Return the key that seems to hold the titles of most documents.

    None if there is none, if it is already in used, or if any document has title_key.
    """
    given = list(metadatas)
    counts = Counter(name for metadata in given for name, value in metadata.items() if _is_title(value))
    if title_key in counts:
        return None
    likely = [
        name
        for name, count in counts.items()
        if 2 * count > len(given) and _plain(name) in _TITLE_KEYS and name not in used
    ]
    return min(likely, key=lambda name: _TITLE_KEYS.index(_plain(name)), default=None)


def _plain(name: object) -> str:
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


def _is_title(value: object) -> bool:
    return isinstance(value, str) and not value.isspace() and value != ""
