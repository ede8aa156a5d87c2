"""`dpr-tiny mcp`, started and asked by the protocol's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from dpr_tiny_retriever import MissingExtraError
from dpr_tiny_retriever.commands.mcp import mcp

pytestmark = [pytest.mark.also_lowest, pytest.mark.mcp]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "garden.md").write_text("# Roses\n\nRoses are cut in early spring.", "utf-8")
    (folder / "kitchen.txt").write_text("Bread dough rests for an hour.", "utf-8")
    (folder / "scan.pdf").touch()
    return folder


@pytest.mark.posix
def test_an_assistant_searches_a_folder_that_changes(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    arguments = ["-m", "dpr_tiny_retriever", "mcp", str(folder)]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=environment)

    async def ask() -> None:
        async with Client(stdio_client(server)) as client:
            [tool] = (await client.list_tools()).tools
            assert tool.name == "search"
            assert set(tool.input_schema["properties"]) == {"question", "top_k", "mode"}
            assert tool.input_schema["required"] == ["question"]

            async def search(**arguments: object) -> Any:
                return await client.call_tool("search", arguments)

            found = await search(question="When are roses cut?", top_k=1)
            assert json.loads(found.content[0].text) == found.structured_content
            assert found.structured_content["near"] is True
            [passage] = found.structured_content["passages"]
            assert passage["score"] > 0
            assert {key: passage[key] for key in ("source", "line", "title", "text", "words")} == {
                "source": "garden.md",
                "line": 3,
                "title": "Roses",
                "text": "Roses are cut in early spring.",
                "words": ["roses", "cut"],
            }

            (folder / "sea.txt").write_text("The tide turns twice a day.", "utf-8")
            found = await search(question="When does the tide turn?", mode="bm25")
            assert [one["source"] for one in found.structured_content["passages"]] == ["sea.txt"]

            refused = await search(question="Roses?", top_k=0)
            assert refused.is_error
            assert "top_k is 0; expected at least 1" in refused.content[0].text

    anyio.run(ask)


def test_without_the_extra_the_command_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(MissingExtraError, match=r'needs mcp 2, .* run: pip install "dpr-tiny-retriever\[mcp\]"'):
        mcp(folder)


@pytest.mark.posix
def test_standard_output_is_the_protocols_alone(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dpr_tiny_retriever", "mcp", str(folder)],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdin=subprocess.DEVNULL,  # the client that hangs up at once
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("Left out: 1 .pdf") == 1
    assert "2 passages encoded" in done.stderr
