"""Every Python block of the README runs as it stands, and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

pytestmark = [pytest.mark.also_modern, pytest.mark.also_legacy]

README = Path(__file__).parents[2] / "README.md"

#: The distribution that the block below a heading needs.
NEEDS = {
    "Ten lines that work": "dpr-tiny-retriever",
    "haystack-ai": "haystack-ai",
    "LangChain": "langchain-core",
    "farm-haystack": "farm-haystack",
}


def blocks() -> dict[str, str]:
    sections = re.split(r"^#+ (.*)$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        heading: "\n".join(re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL))
        for heading, body in zip(sections[1::2], sections[2::2], strict=True)
        if "```python" in body
    }


def present(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


HERE = [heading for heading, needed in NEEDS.items() if present(needed)]


def test_every_block_is_known() -> None:
    assert set(blocks()) == set(NEEDS)


@pytest.mark.parametrize("heading", HERE)
def test_a_block_prints_what_it_says(heading: str, tmp_path: Path) -> None:
    block = blocks()[heading]
    [promised] = re.findall(r"^print\(.*\)  # (.*)$", block, flags=re.MULTILINE)
    run = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == promised
