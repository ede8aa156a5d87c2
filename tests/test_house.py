"""The order of the rooms, and how large their files and functions may be.

`python tests/test_house.py` prints what breaks these rules.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest
from environments import SESSIONS, markers_of, runs_in

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpr_tiny_retriever"
FOLDERS = "dpr_tiny_retriever haystack_integrations tests benchmarks recipes examples docs_site platforms".split()
CODE = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]

#: From the top down: a room imports rooms of the rows below its own, and nothing of its own row or above it.
FLOORS = [
    {"__main__"},
    {"commands", "adapters", "haystack_integrations"},
    {"training", "evaluation"},
    {"corpus"},
    {"retrieval"},
    {"data", "dual_encoder"},
    {"encoder"},
    {"checkpoints", "exact_dot"},
    {"model"},
    {"text"},
    {"load_options", "model_stamp"},
    {
        "passage",
        "atomic_files",
        "cache_folders",
        "lazy_exports",
        "progress",
        "threads",
        "visible_text",
        "whole_numbers",
    },
    {"types", "errors", "temporary_names", "_version"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: Frameworks, and the only rooms that may import them.
FRAMEWORKS = {
    "haystack": {"adapters", "haystack_integrations"},
    "langchain_core": {"adapters"},
    "psycopg": {"corpus"},
    "qdrant_client": {"corpus"},
    "tensorflow": {"model", "training"},
    "keras": {"training"},
    "transformers": {"checkpoints"},
    "torch": set(),
}

LONGEST_FILE = 300
LONGEST_FUNCTION = 60


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    """The room that a file belongs to: its folder in the package or, in the package's root, its own name."""
    if not path.is_relative_to(PACKAGE):
        return "haystack_integrations"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path: Path) -> Iterator[str]:
    """Every name that a file imports, with its module: `dpr_tiny_retriever.model.config.BertConfig`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_files() -> list[Path]:
    files = [path for path in CODE if path.is_relative_to(PACKAGE) or "haystack_integrations" in path.parts]
    return [path for path in files if path != PACKAGE / "__init__.py" and "bundled" not in path.parts]


def climbing_imports() -> list[str]:
    found = []
    for path in package_files():
        for name in imported_names(path):
            first, _, rest = name.partition(".")
            target = rest.partition(".")[0] if first == "dpr_tiny_retriever" else ""
            target = {"DualEncoder": "dual_encoder", "Encoder": "encoder", "Passage": "passage"}.get(target, target)
            if target and target != room_of(path) and FLOOR_OF.get(target, 99) <= FLOOR_OF[room_of(path)]:
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


def circles() -> list[str]:
    """Modules that import each other, in a room or across rooms, at the top of a file or within a function."""
    modules = {}
    for path in package_files():
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    imports: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets = {name if name in modules else name.rpartition(".")[0] for name in imported_names(path)}
        imports[module] = (targets & modules.keys()) - {module}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def private_imports() -> list[str]:
    found = []
    for path in package_files():
        for name in imported_names(path):
            parts = name.split(".")
            private = any(part.startswith("_") and not part.startswith("__") for part in parts[1:])
            if parts[0] == "dpr_tiny_retriever" and private and parts[1] not in ("_version", room_of(path)):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


def misplaced_frameworks() -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in package_files()
        for name in imported_names(path)
        if room_of(path) not in FRAMEWORKS.get(name.partition(".")[0], {room_of(path)})
    ]


def too_long() -> list[str]:
    found = []
    for path in CODE:
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > LONGEST_FILE:
            found.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    for path in sorted((ROOT / "csrc").iterdir()):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > LONGEST_FILE:
            found.append(f"{path.relative_to(ROOT)}: {len(lines)} lines")
        # A function ends with the first brace of its own line.
        starts = [number for number, line in enumerate(lines) if re.match(r"\w.*\(", line)]
        ends = [number for number, line in enumerate(lines) if line.startswith("}")]
        for start, following in pairwise([*starts, len(lines)]):
            end = next((number for number in ends if start < number <= following), start)
            if end - start + 1 > LONGEST_FUNCTION:
                found.append(f"{path.relative_to(ROOT)}:{start + 1}: {end - start + 1} lines")
    return found


RULES = [climbing_imports, circles, private_imports, misplaced_frameworks, too_long]


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room_of(path) for path in package_files()}
    assert rooms == FLOOR_OF.keys()


@pytest.mark.parametrize("broken", RULES)
def test_the_house_is_in_order(broken: object) -> None:
    assert callable(broken)
    assert broken() == []


def test_the_picture_in_contributing_is_of_this_house() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = re.findall(r"```\n(__main__.*?)```", text, flags=re.DOTALL)[0]
    rows = [re.findall(r"(\w+)(?:/|\.py)(?= |$)", row) for row in picture.splitlines()]
    assert [set(row) for row in rows] == FLOORS


def test_every_test_module_runs_in_a_session() -> None:
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    assert [str(path) for path in modules if not any(runs_in(name, path) for name in SESSIONS)] == []


def test_names_of_test_modules_are_unique() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_markers_are_read_from_the_source() -> None:
    assert markers_of(ROOT / "tests" / "examples" / "test_readme.py") == {"also_modern", "also_legacy"}
    assert markers_of(Path(__file__)) == frozenset()


if __name__ == "__main__":
    problems = [line for rule in RULES for line in rule()]
    print(*problems, sep="\n")
    sys.exit(bool(problems))
