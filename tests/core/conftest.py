from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.architecture import BertConfig
from dpr_tiny_retriever.compiled import _fits, _runnable


@pytest.fixture(scope="session")
def pair(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory)


@pytest.fixture(scope="session")
def encoder(pair_directory: Path) -> Encoder:
    return Encoder.from_pretrained(pair_directory, side="passage")


@pytest.fixture(scope="session")
def texts() -> list[tuple[str, str]]:
    """Titled and plain, short and cut, empty, blank and foreign: every kind of text that a batch may hold."""
    return [
        ("", "who wrote the first text"),
        ("the tower", "a tower of the city in the river"),
        ("", ""),
        ("river", ""),
        ("   ", "a title of blanks is none"),
        ("Ärger in Besançon", "Übergröße, naïveté; 日本語 и кириллица 🗼"),
        ("the city " * 100, "the title is longer than what is kept"),
        ("city", "the text is longer than what is kept " * 50),
        ("the city " * 100, "both are longer than what is kept " * 50),
        ("", "[SEP] [CLS] [MASK] written out"),
        ("tabs\tand\nlines", "nothing\u200bwide\u00a0and\x00null"),
        ("", "x" * 500),
    ]


@pytest.fixture(params=[*(f"{library.lanes()} floats at once" for library in _runnable()), "numpy", "graph"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which implementation encodes in encoders made from here on, whatever the work; a model may not fit a library."""

    def chosen(config: BertConfig) -> list[ctypes.CDLL]:
        named = [library for library in _runnable() if request.param == f"{library.lanes()} floats at once"]
        return [library for library in named if _fits(library, config)]

    monkeypatch.setattr("dpr_tiny_retriever.forward.libraries", chosen)
    enough = 0 if request.param == "graph" else 1 << 40
    monkeypatch.setattr("dpr_tiny_retriever.forward._FEW", enough)
    monkeypatch.setattr("dpr_tiny_retriever.forward._FEW_AT_FIRST", enough)
    return str(request.param)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders made from here on are those of a machine where nothing was compiled."""
    monkeypatch.setattr("dpr_tiny_retriever.forward.libraries", lambda config: [])
