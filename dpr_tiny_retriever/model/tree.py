"""Walks over nested tuples such as BertWeights: a tuple is a branch, None is absent, anything else is a leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

_Tree = TypeVar("_Tree")


def tree_leaves(tree: Any) -> Iterator[Any]:
    """The leaves, in the order of the fields."""
    for _, leaf in tree_paths(tree):
        yield leaf


def tree_paths(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf with its path of field names and positions, such as "layers.0.output.kernel"."""
    if isinstance(tree, tuple):
        names = getattr(tree, "_fields", range(len(tree)))
        for name, branch in zip(names, tree, strict=True):
            yield from tree_paths(branch, f"{prefix}.{name}" if prefix else str(name))
    elif tree is not None:
        yield prefix, tree


def tree_map(function: Callable[[Any], Any], tree: _Tree) -> _Tree:
    """The tree with the function's value in place of each leaf, called in the order of tree_leaves."""
    mapped: Any
    if isinstance(tree, tuple):
        branches = [tree_map(function, branch) for branch in tree]
        mapped = type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    else:
        mapped = None if tree is None else function(tree)
    result: _Tree = mapped
    return result
