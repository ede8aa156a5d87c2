"""Public names of the API reference that have no docstring."""

from __future__ import annotations

import re
from pathlib import Path

import griffe

OURS = ("dpr_tiny_retriever.", "haystack_integrations.")


def undocumented(root: Path, pages: Path) -> list[str]:
    """Return the dotted names without a docstring among those that the pages of the reference show.

    Members of classes count too, but for special methods, enumerations' values and fields of dataclasses, which the
    docstring of their class describes.
    """
    loader = griffe.GriffeLoader(search_paths=[str(root)])
    shown = [name for page in sorted(pages.glob("*.md")) for name in _named(page)]
    for package in {name.partition(".")[0] for name in shown}:
        loader.load(package)
    loader.resolve_aliases(implicit=True, external=False)
    found: dict[str, None] = {}
    for name in shown:
        for missing in _without(loader.modules_collection[name]):
            found[missing] = None
    return list(found)


def _named(page: Path) -> list[str]:
    """Return the names that a page asks mkdocstrings for."""
    return re.findall(r"^::: ([\w.]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _without(member: griffe.Object) -> list[str]:
    """Return the names of a member and of its public functions and classes that lack a docstring."""
    missing = [] if member.has_docstring else [member.path]
    for name, inner in member.members.items():
        if name.startswith("_") or (member.is_module and member.exports is not None and name not in member.exports):
            continue
        if isinstance(inner, griffe.Alias):
            if member.exports is None or not inner.target_path.startswith(OURS):
                continue
            inner = inner.final_target
        if inner.is_function or inner.is_class:
            missing += _without(inner)
    return missing
