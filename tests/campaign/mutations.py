"""Files that are damaged, or crafted: edits of bytes, and of the values of JSON."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

#: Bytes that readers are known to stumble over.
BYTES = [
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b"\t",
    b'"',
    b"{",
    b"]",
    b"9" * 40,
    b"\x1f\x8b\x08",
]
BYTES += [b"1e999", b"NaN", b"-1", b"\xe2\x80\xa8", b"[" * 3000, b"\\ud800", "é日🗼".encode(), b" " * 5000]
#: Values that a setting should not have.
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    1e308,
    -0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
]
VALUES += [
    [],
    {},
    [[]],
    ["a", 1],
    {"a": {}},
    "\ud800",
    "a" * 5000,
    "../../outside",
    "/etc/hostname",
    "\0",
    "[UNK]",
    "0",
]


class Edit(NamedTuple):
    """A change of a file: at a part of its length, so many bytes are replaced by others."""

    at: float  # from 0 to 1
    removed: int
    inserted: bytes


def edited(content: bytes, edits: list[Edit]) -> bytes:
    """The content after these edits."""
    for edit in edits:
        at = int(edit.at * len(content))
        content = content[:at] + edit.inserted + content[at + edit.removed :]
    return content


def random_edits(rng: random.Random) -> list[Edit]:
    """A few edits: flipped, lost and inserted bytes, and a cut."""
    edits = []
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        kind = rng.randrange(4)
        at = rng.random() ** rng.choice([1, 3])  # headers are the interesting part
        if kind == 0:
            edits.append(Edit(at, 1, bytes([rng.randrange(256)])))
        elif kind == 1:
            edits.append(Edit(at, rng.choice([0, 1, 20]), rng.choice(BYTES)))
        elif kind == 2:
            edits.append(Edit(at, rng.choice([1, 8, 100, 10_000]), b""))
        else:
            edits.append(Edit(rng.random(), 1 << 40, b""))
    return edits


def random_json(rng: random.Random, record: Any) -> Any:
    """The record with one value, name or element somewhere in it changed."""
    record = json.loads(json.dumps(record))
    places = list(_places(record))
    if not places:
        return rng.choice(VALUES)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        holder, key = rng.choice(places)
        action = rng.randrange(6)
        try:
            if action == 0:
                del holder[key]
            elif action == 1 and isinstance(holder, dict):
                holder[str(rng.choice(VALUES))] = holder[key]
            elif action == 2 and isinstance(holder[key], int) and not isinstance(holder[key], bool):
                holder[key] = rng.choice([holder[key] + 1, holder[key] * 2, -holder[key], holder[key] * 10**9])
            elif action == 3:
                other, name = rng.choice(places)
                holder[key] = json.loads(json.dumps(other[name]))
            else:
                holder[key] = rng.choice(VALUES)
        except (LookupError, ValueError):
            continue
    return record


def json_bytes(record: Any) -> bytes:
    """As a file may hold it, NaN and lone surrogates included."""
    return json.dumps(record).encode()


def _places(record: Any) -> Any:
    """Every value within a record, as its holder and its name or position."""
    keys = record if isinstance(record, dict) else range(len(record)) if isinstance(record, list) else []
    for key in list(keys)[:50]:
        yield record, key
        yield from _places(record[key])
