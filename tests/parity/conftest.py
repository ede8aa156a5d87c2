from __future__ import annotations

import pytest

FIGURES = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, float]:
    """The largest differences by what was compared, printed at the end."""
    return pytestconfig.stash.setdefault(FIGURES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measured = config.stash.get(FIGURES, {})
    if measured:
        terminalreporter.section("largest difference to transformers' TensorFlow classes")
        for what, difference in measured.items():
            terminalreporter.write_line(f"{difference:.1e}  {what}")
