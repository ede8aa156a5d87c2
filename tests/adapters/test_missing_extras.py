"""Without frameworks the core works, and each adapter names the extra that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FARM_HAYSTACK = "import dpr_tiny_retriever.adapters.farm_haystack"
HAYSTACK = "import haystack_integrations.components.embedders.dpr_tiny"
LANGCHAIN = "import dpr_tiny_retriever.adapters.langchain"
LLAMA_INDEX = "import dpr_tiny_retriever.adapters.llama_index"
CHROMA = "import dpr_tiny_retriever.adapters.chroma"
EXTRAS = {
    CHROMA: "chroma",
    FARM_HAYSTACK: "farm-haystack",
    HAYSTACK: "haystack",
    LANGCHAIN: "langchain",
    LLAMA_INDEX: "llama-index",
}


def last_line(script: str, *folders: Path) -> str:
    """What a user reads last when the script fails, where only the standard library, our package and folders exist."""
    path = os.pathsep.join(map(str, [*folders, Path(__file__).parents[2]]))
    command = [sys.executable, "-S", "-c", script]  # -S leaves out site-packages
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    return run.stderr.splitlines()[-1].removeprefix("dpr_tiny_retriever.errors.")


def install(folder: Path, name: str, version: str, source: str) -> None:
    """Put a distribution into folder that has a package `haystack` of this source."""
    (folder / "haystack").mkdir()
    (folder / "haystack" / "__init__.py").write_text(source)
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (FARM_HAYSTACK, "TinyDPRRetriever needs farm-haystack 1.26; found none:"),
        (HAYSTACK, "these components need haystack-ai 2 or 3; found none:"),
        (LANGCHAIN, "langchain_core is not installed, and the LangChain adapter needs it:"),
        (LLAMA_INDEX, "llama_index is not installed, and the LlamaIndex adapter needs it:"),
        (CHROMA, "chromadb is not installed, and the Chroma adapter needs it:"),
    ],
    ids=["farm-haystack", "haystack-ai", "LangChain", "LlamaIndex", "Chroma"],
)
def test_an_adapter_names_the_missing_extra_in_one_line(script: str, message: str) -> None:
    assert last_line(script) == f'MissingExtraError: {message} pip install "dpr-tiny-retriever[{EXTRAS[script]}]"'


def test_with_haystack_ai_the_farm_haystack_adapter_says_that_they_exclude_each_other(tmp_path: Path) -> None:
    install(tmp_path, "haystack-ai", "3.4.0", "")
    assert last_line(FARM_HAYSTACK, tmp_path) == (
        "MissingExtraError: TinyDPRRetriever needs farm-haystack 1.26; found haystack-ai 3.4.0, which excludes it: "
        'uninstall that, then pip install "dpr-tiny-retriever[farm-haystack]"'
    )


def test_with_farm_haystack_the_haystack_ai_adapter_says_that_they_share_a_name(tmp_path: Path) -> None:
    install(tmp_path, "farm-haystack", "1.26.4", "")
    assert last_line(HAYSTACK, tmp_path) == (
        "MissingExtraError: these components need haystack-ai 2 or 3; found farm-haystack 1.26.4, which has the same "
        'import name: uninstall it, then pip install "dpr-tiny-retriever[haystack]"'
    )


def test_an_import_error_inside_farm_haystack_is_shown_as_it_is(tmp_path: Path) -> None:
    install(tmp_path, "farm-haystack", "1.26.4", "import a_library_it_needs")
    assert last_line(FARM_HAYSTACK, tmp_path) == "ModuleNotFoundError: No module named 'a_library_it_needs'"


ENCODE = """
import sys
sys.modules |= dict.fromkeys(["haystack", "langchain_core", "tensorflow", "transformers", "torch"])  # imports fail
from dpr_tiny_retriever import DualEncoder
vectors = DualEncoder.from_pretrained(sys.argv[1]).encode_queries(["the city"])
print(vectors.shape, vectors.dtype)
"""


def test_the_core_encodes_without_any_framework(pair_directory: Path) -> None:
    command = [sys.executable, "-c", ENCODE, str(pair_directory)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "(1, 128) float32\n"
