"""Names that a room offers and imports when they are first used, so that importing the room costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

from dpr_tiny_retriever.errors import MissingExtraError

_PACKAGE = "dpr_tiny_retriever"


def lazy_exports(
    room: str, homes: Mapping[str, Sequence[str]], *, extra: str
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the module functions __getattr__ and __dir__ (PEP 562) of a room, such as "dpr_tiny_retriever.training".

    homes maps modules, named below the package ("training.trainer"), to the names that the room takes from them. A name
    whose module needs something that is not installed raises MissingExtraError, which names the extra.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def get_attribute(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{_PACKAGE}.{home_of[name]}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith(_PACKAGE):
                raise
            raise MissingExtraError(
                f"{room.rpartition('.')[2]} needs {error.name.partition('.')[0]}, which is not installed; "
                f'run: pip install "dpr-tiny-retriever[{extra}]"'
            ) from error
        return getattr(module, name)

    def directory() -> list[str]:
        return sorted(home_of)

    return get_attribute, directory
