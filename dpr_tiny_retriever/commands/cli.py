"""The command `dpr-tiny`."""

from __future__ import annotations

import os
import platform
import sys
from typing import Annotated

import typer

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.commands.console import finish_streams, note, prepare_streams, say
from dpr_tiny_retriever.commands.encode import encode
from dpr_tiny_retriever.commands.evaluate import evaluate
from dpr_tiny_retriever.commands.info import info, install_hint
from dpr_tiny_retriever.commands.interruption import end_at_once_when_interrupted, end_orderly_when_interrupted
from dpr_tiny_retriever.commands.load import load
from dpr_tiny_retriever.commands.mcp import mcp
from dpr_tiny_retriever.commands.mine import mine
from dpr_tiny_retriever.commands.search import demo, search
from dpr_tiny_retriever.commands.train import train

_TRACEBACK = "DPR_TINY_TRACEBACK"

commands = typer.Typer(
    help="Tiny dense passage retrieval: search, encode, evaluate and train on a CPU.",
    no_args_is_help=True,
    rich_markup_mode=None,  # its tables cut names of options at 80 columns, and take "[corpus]" for markup
    pretty_exceptions_enable=False,
)
for command, summary in (
    (search, "Find passages in a folder of texts."),
    (demo, "Answer questions about the Python language reference."),
    (mcp, "Let an assistant search a folder (Model Context Protocol)."),
    (encode, "Encode a corpus of any size into shards of vectors."),
    (load, "Load shards of vectors into a store."),
    (evaluate, "Measure retrieval on labelled data."),
    (train, "Train a pair, or a query encoder alone."),
    (mine, "Find hard negatives for questions."),
    (info, "Show the version, the backends, the extras and the caches."),
):
    commands.command(short_help=summary)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"dpr-tiny-retriever {__version__} (Python {platform.python_version()})")
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help=f"Show where an error was raised; so does {_TRACEBACK}=1.")
    ] = False,
) -> None:
    if traceback:
        os.environ[_TRACEBACK] = "1"


def app() -> None:
    """Run the command line; what a user can mend is one line, without a traceback."""
    prepare_streams()
    end_orderly_when_interrupted()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow, in the commands that import it
    try:
        commands()
    except Exception as error:
        if os.environ.get(_TRACEBACK, "") not in ("", "0"):
            raise
        note(f"Error: {_described(error)}", error=True)
        sys.exit(1)
    finally:
        end_at_once_when_interrupted()
        finish_streams()


def _described(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"this command needs {error.name}, which is not installed; run: {install_hint(error.name)}"
    if isinstance(error, (ValueError, OSError, ImportError)):
        return str(error)
    return f"{type(error).__name__}: {error} (dpr-tiny --traceback shows where)"


if __name__ == "__main__":
    app()
