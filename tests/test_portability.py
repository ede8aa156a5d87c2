"""Encodings and newlines are explicit wherever files are opened, and no call exists on one system only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from native_code import ROOT

CODE = [
    path
    for folder in ("dpr_tiny_retriever", "haystack_integrations", "platforms")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def calls(path: Path) -> Iterator[tuple[str, set[str], ast.Call]]:
    """Yield the calls in a file, each with its function's name and keyword names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            yield name, {str(keyword.arg) for keyword in node.keywords}, node


def text_mode(call: ast.Call) -> str:
    """Return the mode string of an open() call in text mode; "" for binary mode, and for calls without a mode."""
    modes = [one.value for one in call.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    mode = next((mode for mode in modes if set(mode) <= set("rwxabt+")), "")
    return "" if "b" in mode else mode


def test_text_is_read_and_written_in_the_same_bytes_everywhere() -> None:
    for name, keywords, call, place in [
        (*found, f"{path}:{found[2].lineno}: {found[0]}") for path in CODE for found in calls(path)
    ]:
        if name == "read_text":
            assert call.args or "encoding" in keywords, f"{place} without an encoding"
        elif name == "write_text":
            assert {"encoding", "newline"} <= keywords, f"{place} without encoding and newline"
        elif name in ("open", "opened", "fdopen") and (mode := text_mode(call)):
            assert "encoding" in keywords, f"{place} without an encoding"
            if name != "fdopen" and set(mode) & set("wxa"):
                assert "newline" in keywords, f"{place} without newline"


def test_the_working_directory_is_never_changed() -> None:
    found = [path for path in CODE for name, _, _ in calls(path) if name in ("chdir", "fchdir", "fork")]
    assert found == []
