"""README and the guide: every Python block runs as it stands and prints what it says; links and messages are true."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

pytestmark = [pytest.mark.also_modern, pytest.mark.also_legacy]

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

#: The distribution that the blocks below a heading need beside the base.
NEEDS = {
    "Ten lines that work": "numpy",
    "haystack-ai": "haystack-ai",
    "LangChain": "langchain-core",
    "farm-haystack": "farm-haystack",
    "farm-haystack 1.26": "farm-haystack",
    "Evaluation without torch": "farm-haystack",
    "Two retrievers of your own in haystack-ai": "haystack-ai",
    "Indexing again in haystack-ai": "haystack-ai",
    "Vectors alone in LangChain": "langchain-core",
    "An index without any framework": "numpy",
}


def blocks() -> dict[str, str]:
    """The Python code below each heading of README and the guide."""
    text = README.read_text(encoding="utf-8") + (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    sections = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {
        heading: "\n".join(re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL))
        for heading, body in zip(sections[1::2], sections[2::2], strict=True)
        if "```python" in body
    }


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def test_every_block_is_known() -> None:
    assert set(blocks()) == set(NEEDS)


@pytest.mark.parametrize("heading", [heading for heading, needed in NEEDS.items() if is_installed(needed)])
def test_a_block_prints_what_it_says(heading: str, tmp_path: Path) -> None:
    block = blocks()[heading]
    [promised] = re.findall(r"^ *print\(.*\)  # (.*)$", block, flags=re.MULTILINE)
    run = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == promised


def test_readme_has_no_link_that_is_dead_on_a_package_index() -> None:
    targets = re.findall(r"\]\(([^)]*)\)|<img[^>]* src=\"([^\"]*)\"", README.read_text(encoding="utf-8"))
    assert [target for target in targets if not "".join(target).startswith("https://")] == []


def test_files_that_the_documents_name_are_there() -> None:
    pattern = re.compile(r"`((?:docs|examples|recipes|tests|benchmarks)/[\w/.]*)`")
    for document in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        names = pattern.findall(document.read_text(encoding="utf-8"))
        assert [name for name in names if not (ROOT / name).exists()] == [], document.name


def test_quoted_messages_are_those_of_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dpr_tiny_retriever").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # literals that Python joins
    code = re.sub(r"\{[^{}]*\}", "...", code).replace('\\"', '"')
    rows = re.findall(
        r"^\| (`.*?) \|", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows
    messages = [message for row in rows for message in re.findall("`(.*?)`", row)]
    fragments = [part.strip() for message in messages for part in message.split("...")]
    assert [part for part in fragments if part and part not in code] == []
