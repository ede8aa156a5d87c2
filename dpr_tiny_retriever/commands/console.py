"""What the commands write: on any terminal, file or pipe, and where there is none."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Collection

import typer

from dpr_tiny_retriever.visible_text import visible

_WORD = re.compile(r"\w+")


def prepare_streams() -> None:
    """Give the process all three standard streams, in which no character is an error.

    A parent may have closed them; then the next file that is opened would take the place of standard output.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def finish_streams() -> None:
    """Write out what is buffered; where nobody reads it any more, let the interpreter not try again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(message: str, *, bold: bool = False, end: str = "\n", error: bool = False) -> None:
    """Write to standard output or, with error=True, to standard error; bold on a terminal, unless NO_COLOR is set."""
    write(_bold(visible(message)) if bold else visible(message), end=end, error=error)


def write(shown: str, *, end: str = "\n", error: bool = False) -> None:
    """Write text that visible() or marked() has made; where there is no terminal, without its styles."""
    typer.echo(shown, nl=end == "\n", err=error)


def marked(text: str, words: Collection[str]) -> str:
    """Text as visible() shows it, these lower-cased words in bold, unless NO_COLOR is set."""
    chosen = set(words)
    return _WORD.sub(lambda match: _bold(match[0]) if match[0].lower() in chosen else match[0], visible(text))


def note(message: str, *, error: bool = False) -> None:
    """Write a line to standard error; an error in red on a terminal, unless NO_COLOR is set."""
    styled = error and not os.environ.get("NO_COLOR")
    typer.echo(typer.style(visible(message), fg=typer.colors.RED) if styled else visible(message), err=True)


def _bold(shown: str) -> str:
    return shown if os.environ.get("NO_COLOR") else typer.style(shown, bold=True)
