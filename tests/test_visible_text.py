"""What stands in files and names steers no terminal."""

from __future__ import annotations

import os

import pytest

from dpr_tiny_retriever.visible_text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Roses \U0001f339 in naïve 日本語\n\tindented", "Roses \U0001f339 in naïve 日本語\n\tindented"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("over\rwritten\x9b31m\x7f", r"over\rwritten\x9b31m\x7f"),
        ("a\u2028b\u202etxt.exe", r"a\u2028b\u202etxt.exe"),
        (os.fsdecode(b"caf\xe9.txt"), r"caf\xe9.txt"),
        ("half \ud83d of one", r"half \ud83d of one"),
    ],
)
def test_what_would_steer_a_terminal_is_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown
