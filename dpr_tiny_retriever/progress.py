"""One rule for every progress bar: where one is drawn, and where none is."""

from __future__ import annotations

import os
import sys
from typing import Any


def is_bar_shown(show_progress: bool | None = None) -> bool:
    """Whether a progress bar is drawn on standard error.

    None draws it on a terminal or in a notebook only, True also where output goes to a file. With TQDM_DISABLE set, and
    in a program without standard error, there is none.
    """
    if sys.stderr is None or os.environ.get("TQDM_DISABLE", "") not in ("", "0"):
        return False
    return ("ipykernel" in sys.modules or sys.stderr.isatty()) if show_progress is None else show_progress


def progress_bar(*, total: int | None, unit: str, show_progress: bool | None, description: str | None = None) -> Any:
    """A tqdm bar with the time left, to be used in a with statement; see is_bar_shown."""
    # When first needed, since it imports asyncio: questions are answered without it.
    from tqdm.auto import tqdm

    return tqdm(total=total, unit=unit, desc=description, disable=not is_bar_shown(show_progress))
