"""README and documentation: Python blocks run and print their comments; links, figures and messages are checked."""

from __future__ import annotations

import re
import runpy
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
    "README.md: Ten lines that work": "numpy",
    "search.md: An index without any framework": "numpy",
    "haystack.md: The shortest pipeline": "haystack-ai",
    "haystack.md: Two retrievers of your own in haystack-ai": "haystack-ai",
    "haystack.md: Indexing again in haystack-ai": "haystack-ai",
    "langchain.md: The shortest chain": "langchain-core",
    "langchain.md: Vectors alone in LangChain": "langchain-core",
    "farm_haystack.md: The shortest pipeline": "farm-haystack",
    "farm_haystack.md: farm-haystack 1.26": "farm-haystack",
    "farm_haystack.md: Evaluation without torch": "farm-haystack",
}
#: Pages whose blocks are run by other tests or need several environments.
ELSEWHERE = {"scale.md", "stores.md"}
PAGES = [README, *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in ELSEWHERE)]
#: A file of examples/ that a page shows, whole or in part; tests/examples runs these.
SNIPPET = re.compile(r'^--8<-- "([^":]+)', flags=re.MULTILINE)


def blocks() -> dict[str, str]:
    """Return the Python code below each heading of README and the pages, without included files."""
    found = {}
    for page in PAGES:
        sections = re.split(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for heading, body in zip(sections[1::2], sections[2::2], strict=True):
            code = re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL)
            if code:
                found[f"{page.name}: {heading}"] = "\n".join(code)
    return found


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


def test_the_readme_of_a_package_index_links_to_pages_of_the_site_and_files_of_the_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    text = runpy.run_path("setup.py")["readme"]()
    targets = re.findall(r"\]\(([^)]*)\)", text)
    urls = dict(re.findall(r'^(\w+) = "(https://.*?)/?"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE))
    pages = {f"{urls['Documentation']}/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    files = {f"{urls['Repository']}/blob/main/{path.name}" for path in ROOT.iterdir()}
    assert {target.partition("#")[0] for target in targets} <= pages | files


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_figures_of_readme_are_those_of_the_evaluation() -> None:
    """README's hit rates equal those in docs/evaluation.md, for each system and data set."""
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rates: dict[str, list[str]] = {}
    data = ""
    for cells in re.findall(r"^\| (.*?) ?\| (.*?) \| (.*?) \| (.*?) \| (.*?) \| ", page, flags=re.MULTILINE):
        data = cells[0].strip() or data
        if not data.startswith("+"):
            rates.setdefault(_system(cells[1]), []).append(" / ".join(cells[2:5]))
    [table] = re.findall(r"^\| \| CLAPNQ dev \|.*\n((?:\|.*\n)+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    assert len(rows) > 3
    assert {_system(name): cells for name, *cells in rows} == {_system(name): rates[_system(name)] for name, *_ in rows}


def _system(cell: str) -> str:
    """Return the name of a system without its description."""
    name = re.sub(r" \(.*|, the teacher|\*", "", cell)
    return name.replace("MiniLM-L6 +", "MiniLM +")


def test_a_file_that_a_page_shows_is_run_by_a_test() -> None:
    shown = {name for page in PAGES for name in SNIPPET.findall(page.read_text(encoding="utf-8"))} - {"README.md"}
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert "examples/haystack_pipeline.py" in shown
    assert [name for name in shown if Path(name).name not in tests] == []


def test_files_that_the_documents_name_are_there() -> None:
    pattern = re.compile(r"`((?:docs|examples|recipes|tests|benchmarks)/[\w/.]*)`")
    for document in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        names = pattern.findall(document.read_text(encoding="utf-8"))
        assert [name for name in names if not (ROOT / name).exists()] == [], document.name


def test_quoted_messages_are_those_of_the_code() -> None:
    folders = ("dpr_tiny_retriever", "haystack_integrations")
    files = [ROOT / "setup.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # literals that Python joins
    code = re.sub(r"\{[^{}]*\}", "...", code).replace('\\"', '"')
    rows = re.findall(
        r"^\| (`.*?) \|", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows
    messages = [message for row in rows for message in re.findall("`(.*?)`", row)]
    fragments = [part.strip() for message in messages for part in message.split("...")]
    assert [part for part in fragments if part and part not in code] == []
