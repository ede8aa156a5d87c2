"""An open SQLite file of this package: its transactions, and what can be wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from dpr_tiny_retriever.errors import UnusableIndexError

#: The path of a database in memory.
MEMORY = ":memory:"

#: Seconds to wait while another process writes; one transaction takes milliseconds.
_BUSY_TIMEOUT = 60.0
#: What SQLite says of the disk or of other processes; every other error means that the file is damaged.
_ENVIRONMENT_ERRORS = ("locked", "full", "readonly", "disk I/O", "unable to open")
_INFO_TABLE = "CREATE TABLE info (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID"


class SqliteFile:
    """One open file, or a database in memory. Thread-safe; several processes may read while one writes.

    The connection is to be used within a transaction, which sees the file as it was when it began.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        application_id: int,
        format_version: int,
        tables: Sequence[str],
        info: Mapping[str, object],
    ) -> None:
        """Open a file, or begin one with these tables and this info; path MEMORY is a database in memory.

        application_id: how SQLite tells this kind of file from others. format_version: raised whenever the tables or
        what stands in them change. Raises UnusableIndexError where the file is damaged, of another program or of
        another format, OSError where it cannot be read or written.
        """
        self.path = path if path == MEMORY else Path(path)
        if isinstance(self.path, Path):
            if self.path.is_dir():
                raise IsADirectoryError(f"{path} is a folder; expected the path of an index file, which may be new")
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._expected = {"format": format_version, "changes": 0, **info}
        self.connection = _connect(self.path)
        try:
            with self._named_errors():
                self._begin(application_id, [_INFO_TABLE, *tables])
            with self.transaction():
                found = self.info()["format"]
                if found != format_version:
                    raise UnusableIndexError(
                        f"{self.path} is an index of format {found}, made by another version",
                        f"expected format {format_version}: remove the file, or name another, and index anew",
                    )
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Close the file; a database in memory is gone."""
        self.connection.close()

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[None]:
        """See one state of the file; with write=True, change it wholly or, on an error or a kill, not at all."""
        with self._lock, self._named_errors():
            self.connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield
                if write:
                    self.connection.execute("UPDATE info SET value = value + 1 WHERE key = 'changes'")
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # there may be no transaction left, and the first error counts
                    self.connection.execute("ROLLBACK")
                raise

    def info(self) -> dict[str, Any]:
        """What the file says about itself."""
        info = dict(self.connection.execute("SELECT key, value FROM info"))
        if missing := self._expected.keys() - info.keys():
            self.refuse_damaged(f"it does not say its {', '.join(sorted(missing))}")
        return info

    def changes(self) -> int:
        """How many transactions have changed the file so far."""
        changes = self.info()["changes"]
        if not isinstance(changes, int):
            self.refuse_damaged("it does not say how often it was changed")
        return changes

    def refuse_damaged(self, reason: str, error: Exception | None = None) -> NoReturn:
        """Raise UnusableIndexError for a file that is damaged."""
        raise UnusableIndexError(
            f"{self.path} is no index, or a damaged one ({reason})", "remove the file, and index anew"
        ) from error

    def _begin(self, application_id: int, tables: Sequence[str]) -> None:
        """Make the tables of a new file, or refuse a file that is not ours."""
        [(found,)] = self.connection.execute("PRAGMA application_id")
        if found == 0:
            self.connection.execute("BEGIN IMMEDIATE")
            [(count,)] = self.connection.execute("SELECT COUNT(*) FROM sqlite_master")
            [(found,)] = self.connection.execute("PRAGMA application_id")
            if not count:
                for table in tables:
                    self.connection.execute(table)
                self.connection.executemany("INSERT INTO info VALUES (?, ?)", self._expected.items())
                self.connection.execute(f"PRAGMA application_id = {application_id}")
                found = application_id
            self.connection.execute("COMMIT")
        if found != application_id:
            raise UnusableIndexError(
                f"{self.path} is a database of another program", "expected an index, or the path of a new one"
            )
        with suppress(sqlite3.OperationalError):
            # Readers go on while one writes. Where it cannot be had (network folders, read-only ones, or while another
            # process opens the file) they wait for each other instead.
            self.connection.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Name the file in SQLite's errors, and tell a damaged file from a full disk."""
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise ValueError(f"the index {self.path} is closed; open it again") from error
        except sqlite3.Error as error:
            if any(words in str(error) for words in _ENVIRONMENT_ERRORS):
                raise OSError(f"{self.path}: {error}") from error
            self.refuse_damaged(str(error), error)
        except UnicodeDecodeError as error:  # in a message with the name of a damaged table
            self.refuse_damaged("its tables have no readable names", error)


def _connect(path: Path | str) -> sqlite3.Connection:
    try:
        if isinstance(path, Path) and path.exists() and not os.access(path.parent, os.W_OK):
            # Where SQLite can put no file beside this one, it reads it on the word that nobody changes it.
            address = f"{path.resolve().as_uri()}?immutable=1"
            return sqlite3.connect(address, isolation_level=None, check_same_thread=False, uri=True)
        return sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: {error}") from error
