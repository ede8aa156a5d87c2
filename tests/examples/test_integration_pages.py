"""The pages for Haystack's and LangChain's integration lists: their code runs, and they have the required form."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.haystack, pytest.mark.langchain]

FOLDER = Path(__file__).parents[2] / "docs" / "integrations"
KINDS = ("embedders", "joiners", "retrievers", "writers")
PAGES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_code_of_a_page_runs_and_prints_what_it_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL))
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, flags=re.MULTILINE)
    assert promised
    exec(compile(code, str(path), "exec"), {})
    assert capsys.readouterr().out.splitlines() == promised


def test_the_page_for_haystack_names_every_component() -> None:
    text = (FOLDER / "haystack.md").read_text(encoding="utf-8")
    modules = [f"haystack_integrations.components.{kind}.dpr_tiny" for kind in KINDS]
    assert {name for module in modules for name in importlib.import_module(module).__all__} == set(
        re.findall(r"^- `(\w+)`", text, flags=re.MULTILINE)
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_begins_with_what_its_list_asks_for(path: Path) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])
    if path.suffix == ".mdx":
        assert found.keys() == {"title", "description"}
    else:
        assert found.keys() >= {"layout", "name", "description", "authors", "pypi", "type", "version"}
        assert found["layout"] == "integration"
