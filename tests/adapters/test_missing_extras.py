"""The package where no framework is installed: one line that names the extra to install, and the core works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dpr_tiny_retriever import DualEncoder


def last_line_of(script: str) -> str:
    """What a user reads last when the script fails.

    In a process of its own, which does not take the folders of the tests for frameworks.
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "package", ["haystack", "langchain_core", "torch", "tf_keras", "faiss", "qdrant_client", "bm25s"]
)
def test_there_is_nothing_here_but_the_core(package: str) -> None:
    assert last_line_of(f"import {package}") == f"ModuleNotFoundError: No module named '{package}'"


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("dpr_tiny_retriever.adapters.farm_haystack", "farm-haystack"),
        ("haystack_integrations.components.embedders.dpr_tiny", "haystack"),
        ("dpr_tiny_retriever.adapters.langchain", "langchain"),
        ("dpr_tiny_retriever.retrieval.passage_index", "search"),
    ],
)
def test_an_adapter_names_the_extra_to_install_in_one_line(module: str, extra: str) -> None:
    line = last_line_of(f"import {module}")
    assert line.startswith("dpr_tiny_retriever.errors.MissingExtraError: ")
    assert f'pip install "dpr-tiny-retriever[{extra}]"' in line


def test_the_core_works_with_nothing_else(pair_directory: Path) -> None:
    vectors = DualEncoder.from_pretrained(pair_directory).encode_queries(["the city"])
    assert vectors.shape == (1, 128)
    assert vectors.dtype == np.float32
