"""Rows of a corpus: passages with their ids, and rows that cannot be used."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

#: Bytes of a content digest.
DIGEST_SIZE = 16


class CorpusRow(NamedTuple):
    """One passage of a corpus; title is "" for none."""

    id: str
    title: str
    text: str
    carried: dict[str, Any]
    """Further fields that were asked for, by the names they were asked for; None where a row has not this field."""


class BadRow(NamedTuple):
    """A row that cannot be encoded; it has its number among the rows like any other."""

    id: str
    """The row's own id or, where it has none that can be used, its place."""
    place: str
    """File and line, "corpus.jsonl:17", lines counted from 1; the row's number in a Parquet file."""
    reason: str


def content_digest(title: str, text: str) -> bytes:
    """The BLAKE2b digest, of 16 bytes, of all that a passage's vector depends on beside the model.

    Another boundary between title and text is another digest.
    """
    titled = title.encode()
    return hashlib.blake2b(b"%d:%b%b" % (len(titled), titled, text.encode()), digest_size=DIGEST_SIZE).digest()
