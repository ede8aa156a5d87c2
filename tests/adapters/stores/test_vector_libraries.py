"""The recipes of docs/stores.md: each runs as printed and ranks as exhaustive search does."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from ranked_passages import DOCUMENT, QUESTIONS, RankedPassages

from dpr_tiny_retriever import DualEncoder

pytestmark = pytest.mark.vector_stores


def recipes() -> dict[str, str]:
    """The Python code below each heading of docs/stores.md."""
    sections = re.split(r"^#+ (.*)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        heading: "\n".join(re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL))
        for heading, body in zip(sections[1::2], sections[2::2], strict=True)
        if "```python" in body
    }


BEGINNING = "Without a framework"
FRAMEWORKS = ["Chroma", "LlamaIndex", "Relevance scores and `score_threshold`"]
LIBRARIES = ["DuckDB", "LanceDB", "sqlite-vec", "usearch"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import sqlite3

    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        import pysqlite3

        monkeypatch.setitem(sys.modules, "sqlite3", pysqlite3)


@pytest.fixture(scope="module")
def beginning() -> dict[str, Any]:
    """The code that precedes every recipe."""
    names: dict[str, Any] = {}
    exec(recipes()[BEGINNING], names)
    return names


def test_every_recipe_is_known() -> None:
    assert set(recipes()) == {*LIBRARIES, *FRAMEWORKS, BEGINNING}


@pytest.mark.parametrize("heading", LIBRARIES)
def test_a_recipe_finds_the_passage_that_answers(heading: str, beginning: dict[str, Any]) -> None:
    names = dict(beginning)
    exec(recipes()[heading], names)
    assert [names["passages"][number][0] for number, _ in names["found"]] == ["Lighthouse", "Sourdough"]
    assert [cosine for _, cosine in names["found"]] == pytest.approx(
        (names["vectors"] @ names["query"]).tolist(), abs=1e-5
    )


@pytest.mark.parametrize("heading", LIBRARIES)
def test_a_recipe_ranks_as_a_dot_product_pair_with_exact_dot_does(heading: str, pair_directory: Path) -> None:
    ranked = RankedPassages(DualEncoder.from_pretrained(pair_directory, exact_dot=True))
    passages = [(passage.title, passage.text) for passage in ranked.passages.values()]
    [query] = ranked.pair.encode_queries(QUESTIONS[:1])
    vectors = ranked.pair.encode_passages(passages)
    names = {"encoder": ranked.pair, "passages": passages, "vectors": vectors, "query": query}
    exec(recipes()[heading], names)
    ranked.check(QUESTIONS[0], ranked.ids(*(int(number) for number, _ in names["found"])))


@pytest.mark.parametrize("heading", FRAMEWORKS)
def test_a_block_prints_the_title_of_the_passage_that_answers(heading: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(recipes()[heading], {})
    assert capsys.readouterr().out == "Lighthouse\n"
