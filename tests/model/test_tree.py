"""Walks over nested tuples."""

from __future__ import annotations

from typing import Any, NamedTuple

from dpr_tiny_retriever.model.tree import tree_leaves, tree_map, tree_paths


class Branch(NamedTuple):
    left: Any
    right: Any


TREE = Branch(1, (Branch(2, None), (), 3))


def test_leaves_come_in_the_order_of_the_fields_and_none_is_no_leaf() -> None:
    assert list(tree_leaves(TREE)) == [1, 2, 3]
    assert list(tree_leaves(None)) == []


def test_paths_are_field_names_and_positions() -> None:
    assert list(tree_paths(TREE)) == [("left", 1), ("right.0.left", 2), ("right.2", 3)]


def test_a_mapped_tree_has_the_same_branches() -> None:
    mapped = tree_map(str, TREE)
    assert mapped == Branch("1", (Branch("2", None), (), "3"))
    assert isinstance(mapped.right[0], Branch)
