"""What `--help` shows on a terminal of 80 columns."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from dpr_tiny_retriever.commands.cli import commands

GROUP = typer.main.get_group(commands)


@pytest.mark.parametrize("name", ["", *GROUP.commands])
def test_help_fits_80_columns_and_cuts_no_name_of_an_option(name):
    arguments = [name, "--help"] if name else ["--help"]
    shown = CliRunner().invoke(commands, arguments, terminal_width=80, env={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    command = GROUP.commands.get(name, GROUP)
    options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    assert len(options) > 1
    assert [option for option in options if f"{option} " not in shown and f"{option}\n" not in shown] == []


def test_help_shows_extras_in_their_brackets():
    assert "[corpus]" in CliRunner().invoke(commands, ["encode", "--help"]).stdout
