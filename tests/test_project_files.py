"""Project files agree with the repository: links, commands, versions, licences, release checks."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpr_tiny_retriever.checkpoints.bundled_pairs import BUNDLED, BUNDLED_PAIRS

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]*.yml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML = [*WORKFLOWS, *sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ROOT / ".github" / "dependabot.yml"]
YAML += [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml"]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md*")),
]
HASH = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
release_notes: Any = runpy.run_path(str(ROOT / ".github" / "release_notes.py"))["release_notes"]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def steps() -> list[dict[str, Any]]:
    """Every step of every job of every workflow."""
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(read(path))["jobs"].values()]
    return [step for job in jobs for step in job.get("steps", [])]


def sessions() -> set[str]:
    functions = [node for node in ast.parse(read(ROOT / "noxfile.py")).body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if any("nox.session" in ast.unparse(line) for line in node.decorator_list)}


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_a_file_of_settings_is_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(read(path)), dict)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_the_repository_lead_to_files(path: Path) -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", read(path))]
    inside = [target for target in targets if target and not target.startswith(("https://", "/oss/"))]
    assert [target for target in inside if not (path.parent / target).exists()] == []


def test_commands_in_contributing_are_targets_of_make_and_sessions() -> None:
    text = read(ROOT / "CONTRIBUTING.md")
    [targets] = re.findall(r"^\.PHONY: (.*)", read(ROOT / "Makefile"), flags=re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z_]+)", text, flags=re.MULTILINE)) <= set(targets.split())
    named = {*re.findall(r"nox -s (\w+)", text), *re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)}
    assert {"light"} < named <= sessions()


def test_workflows_run_sessions_that_exist_by_the_tools_of_the_makefile() -> None:
    named = {name for path in WORKFLOWS for name in re.findall(r"nox -s (\w+)", read(path))}
    for path in WORKFLOWS:
        jobs = yaml.safe_load(read(path))["jobs"].values()
        matrices = [job.get("strategy", {}).get("matrix", {}) for job in jobs]
        named |= {name for matrix in matrices for name in matrix.get("session", [])}
        named |= {row["session"] for matrix in matrices for row in matrix.get("include", []) if "session" in row}
    assert {"light"} < named <= sessions()
    tools = {line for path in WORKFLOWS for line in re.findall(r"TOOLS: ([^#\n]*[^#\s])", read(path))}
    assert tools == {" ".join(re.findall(r'"((?:nox|uv)==.*?)"', read(ROOT / "Makefile")))}


def test_actions_are_pinned_by_hash_and_keep_no_credentials() -> None:
    used = [step for step in steps() if "uses" in step]
    assert [step["uses"] for step in used if not HASH.fullmatch(step["uses"])] == []
    checkouts = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks_for_dpr_tiny_info(path: Path) -> None:
    [field] = [field for field in yaml.safe_load(read(path))["body"] if field.get("id") == "info"]
    assert field["attributes"]["label"] == "What does `dpr-tiny info` say?"
    assert field["validations"] == {"required": True}


def test_citation_and_changelog_know_the_version() -> None:
    [version] = re.findall('"(.*)"', read(ROOT / "dpr_tiny_retriever" / "_version.py"))
    assert yaml.safe_load(read(ROOT / "CITATION.cff"))["version"] == version
    assert f"## [{version}]" in read(ROOT / "CHANGELOG.md")


@pytest.mark.parametrize("folder", BUNDLED_PAIRS.values())
def test_notice_names_the_data_and_the_teacher_of_the_bundled_pairs(folder: str) -> None:
    card = read(BUNDLED / folder / "README.md")
    names = ["AmbigNQ", "BoolQ", "CLAPNQ", "EfficientQA", "FOLDOC", "HotpotQA", "Jargon File", "MedQuAD", "MIMICS"]
    names += ["Natural Questions", "OpenTriviaQA", "QALD", "SelQA", "SQuAD", "StrategyQA", "TyDi QA"]
    names += ["trivia", "V.E.R.A.", "WebQuestions", "WellFormed", "Wikipedia", "WordNet"]
    for name in [*names, "sentence-transformers/all-MiniLM-L6-v2"]:
        assert name in card
        assert name in read(ROOT / "NOTICE")


def test_the_owner_of_the_repository_is_named_in_one_place() -> None:
    """In pyproject.toml, so that nothing else has to be corrected before a release."""
    [table] = re.findall(
        r"^\[project\.urls\]\n(.*?)\n\n", read(ROOT / "pyproject.toml"), flags=re.MULTILINE | re.DOTALL
    )
    [owner] = set(re.findall(r"github\.com/([\w-]+)/", table))
    paths = [*DOCUMENTS, *YAML]
    assert [path.name for path in paths if f"github.com/{owner}/" in read(path)] == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the files that a release of version 1.2.0 is checked against."""
    (tmp_path / "dpr_tiny_retriever").mkdir()
    (tmp_path / "dpr_tiny_retriever" / "_version.py").write_text('__version__ = "1.2.0"\n', encoding="utf-8")
    address = '[project.urls]\nRepository = "https://host/owner/name"\n'
    (tmp_path / "pyproject.toml").write_text(address, encoding="utf-8")
    changes = "# Changelog\n\n## [1.2.0] - 2030-01-02\n\n### Added\n\n- This.\n\n## [1.1.0] - 2029-01-02\n\n- That.\n"
    (tmp_path / "CHANGELOG.md").write_text(changes, encoding="utf-8")
    return tmp_path


def test_the_notes_of_a_release_are_the_versions_part_of_the_changelog(repository: Path) -> None:
    assert release_notes("v1.2.0", "https://host/owner/name", repository) == "### Added\n\n- This."


@pytest.mark.parametrize(
    ("tag", "address", "said"),
    [
        ("v1.2.1", "https://host/owner/name", "found the tag v1.2.1; expected v1.2.0"),
        ("v1.2.0", "https://host/fork/name", "found https://host/owner/name as the Repository"),
    ],
)
def test_a_release_that_does_not_agree_is_refused(repository: Path, tag: str, address: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        release_notes(tag, address, repository)


def test_a_release_without_changes_is_refused(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape("expected ## [1.2.0]")):
        release_notes("v1.2.0", "https://host/owner/name", repository)
