"""The command `dpr-tiny mcp`: an assistant searches the files of a folder, by the Model Context Protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.commands.answers import Answer, find_answer
from dpr_tiny_retriever.commands.console import note
from dpr_tiny_retriever.commands.folder_index import FolderIndex, Texts, folder_texts, open_index, update_lines
from dpr_tiny_retriever.commands.options import AllFolders, Backend, Folder, IndexPath, Model, Threads
from dpr_tiny_retriever.errors import MissingExtraError
from dpr_tiny_retriever.types import SearchMode

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer


def mcp(
    folder: Folder,
    model: Model = None,
    index: IndexPath = None,
    backend: Backend = "auto",
    threads: Threads = None,
    all_folders: AllFolders = False,
) -> None:
    """Let an assistant search a folder, by the Model Context Protocol on standard input and output (extra `mcp`)."""
    _require_mcp()

    def read() -> Texts:
        return folder_texts(folder, all_folders=all_folders)

    texts = read()
    with open_index(folder, model, index, backend=backend, threads=threads) as opened:
        # Standard output belongs to the protocol.
        for line in update_lines(opened.bring_up_to_date(texts), opened.path):
            note(line)
        _server(opened, read, folder).run("stdio")


def _require_mcp() -> None:
    try:
        import mcp.server.mcpserver  # noqa: F401 (whether it is there)
    except ImportError as error:
        raise MissingExtraError(
            'dpr-tiny mcp needs mcp 2, which is not installed; run: pip install "dpr-tiny-retriever[mcp]"'
        ) from error


def _server(index: FolderIndex, read: Callable[[], Texts], folder: Path) -> MCPServer:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    one_at_a_time = threading.Lock()

    def search(question: str, top_k: int = 5, mode: SearchMode = "blend") -> Answer:
        """Find the passages of the user's files that answer a question, best first.

        question: in natural language, or words that the passage may hold. top_k: how many passages. mode: "blend" finds
        by meaning and by words, "dense" by meaning alone, "bm25" by words alone. Each passage comes with its file
        (source) and line, title, text, score, and the words of the question that stand in it. Where near is false,
        probably none of them answers the question.
        """
        try:
            with one_at_a_time:
                index.bring_up_to_date(read())
                return find_answer(index, question, top_k, mode)
        except (ValueError, OSError) as error:
            raise ToolError(str(error)) from error

    server = MCPServer("dpr-tiny", instructions=f"Searches the user's files in {folder}, offline.", version=__version__)
    server.add_tool(search)
    return server
