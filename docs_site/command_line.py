"""The page of the command line, written by typer from the commands themselves."""

from __future__ import annotations

import subprocess
import sys

COMMAND = [sys.executable, "-m", "typer", "--app", "commands", "dpr_tiny_retriever.commands.cli", "utils", "docs"]


def command_line_page() -> str:
    """Return the arguments and options of every command as Markdown."""
    run = subprocess.run([*COMMAND, "--name", "dpr-tiny", "--title", "Command line"], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"typer wrote no page of the commands: {run.stderr}")
    return run.stdout
