"""The command `dpr-tiny`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dpr_tiny_retriever.commands.evaluate import evaluate
from dpr_tiny_retriever.commands.mine import mine
from dpr_tiny_retriever.commands.search import demo, search
from dpr_tiny_retriever.commands.train import train

commands = typer.Typer(
    help="Tiny dense passage retrieval: search, evaluate and train on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
commands.command()(search)
commands.command()(demo)
commands.command()(evaluate)
commands.command()(train)
commands.command()(mine)


def app() -> None:
    """Run the command line; what a user can mend is one line, without a traceback."""
    with _quiet_native_log():
        try:
            commands()
        except (ValueError, TypeError, OSError, ImportError) as error:
            typer.secho(f"Error: {error}", fg=typer.colors.RED, err=True)
            sys.exit(1)


@contextmanager
def _quiet_native_log() -> Iterator[None]:
    """Drop what TensorFlow's native code writes on its way up; Python's standard error stays as it is."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    former, kept = sys.stderr, os.dup(2)
    sys.stderr = os.fdopen(kept, "w", buffering=1, closefd=False)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        sys.stderr = former
