"""Without frameworks the core works, and each adapter names the extra that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Makes a process one in which no framework is installed: importing any of them fails.
WITHOUT_FRAMEWORKS = """
import sys
sys.modules |= dict.fromkeys(["haystack", "langchain_core", "tensorflow", "transformers", "torch"])
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_FRAMEWORKS + script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("dpr_tiny_retriever.adapters.farm_haystack", "farm-haystack"),
        ("haystack_integrations.components.embedders.dpr_tiny", "haystack"),
        ("dpr_tiny_retriever.adapters.langchain", "langchain"),
    ],
)
def test_an_adapter_names_the_missing_extra_in_one_line(module: str, extra: str) -> None:
    finished = run(f"import {module}")
    assert finished.returncode == 1
    last_line = finished.stderr.splitlines()[-1]
    assert last_line.startswith("dpr_tiny_retriever.errors.MissingExtraError: ")
    assert f'pip install "dpr-tiny-retriever[{extra}]"' in last_line


ENCODE = """
from dpr_tiny_retriever import DualEncoder
vectors = DualEncoder.from_pretrained(sys.argv[1]).encode_queries(["the city"])
print(vectors.shape, vectors.dtype)
"""


def test_the_core_encodes_without_any_framework(pair_directory: Path) -> None:
    assert run(ENCODE, str(pair_directory)).stdout == "(1, 128) float32\n"
