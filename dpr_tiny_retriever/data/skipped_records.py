"""Records of data files that could not be used: named, counted, and in nobody's way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dpr_tiny_retriever.data.data_files import DataError, MisreadDataError

logger = logging.getLogger(__name__)

_LOGGED = 20  # skipped records that are logged one by one


@dataclass
class SkippedRecords:
    """Records that could not be used: each is logged with its file and line, and counted."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, error: DataError) -> None:
        """Count a record that could not be used, and log it if it is one of the first."""
        self.count += 1
        if self.count <= _LOGGED:
            self.first.append(str(error))
            logger.warning("skipped: %s", error)


def on_error(skipped: SkippedRecords | None) -> Callable[[DataError], None] | None:
    """What a reader of records is to do with an error: raise it, where there is nothing to add it to."""
    return skipped.add if skipped is not None else None


@contextmanager
def skipping(skipped: SkippedRecords | None) -> Iterator[None]:
    """Leave what is done with a record when it proves to be of no use; without skipped the error is raised."""
    try:
        yield
    except MisreadDataError:
        raise
    except DataError as error:
        if skipped is None:
            raise
        skipped.add(error)


def skipped_notes(skipped: SkippedRecords | None) -> list[str]:
    """How many records were skipped and the first of them; nothing where there are none."""
    if skipped is None or not skipped.count:
        return []
    records = "1 record" if skipped.count == 1 else f"{skipped.count:,} records"
    return [f"{records} left out: first {skipped.first[0]}"]
