"""The pairs of encoders that ship in the package: their names, and the folders that hold them."""

from __future__ import annotations

import re
from pathlib import Path

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.errors import ModelNotFoundError
from dpr_tiny_retriever.types import Model

BUNDLED = Path(__file__).parent.parent / "bundled"
#: The folder of each pair below BUNDLED; the first is loaded where no model is named.
BUNDLED_PAIRS = {"bundled": "L2", "bundled-L12": "L12"}

_RELEASE = ".".join(__version__.split(".")[:2])
_NAME = re.compile(rf"(?P<pair>{'|'.join(BUNDLED_PAIRS)})(@(?P<release>\d+\.\d+))?")


def is_bundled(model: Model) -> bool:
    """Whether a name means a bundled pair of this release; raises ModelNotFoundError for another release's."""
    return _pair(model) is not None


def released_name(model: Model) -> str:
    """Return a bundled pair's name with its release, such as "bundled@0.2"; any other model's name as it is.

    Later releases do not use the name for other weights.
    """
    pair = _pair(model)
    return str(model) if pair is None else f"{pair}@{_RELEASE}"


def bundled_folder(model: Model) -> Path:
    """Return the folder of a bundled pair; raises ModelNotFoundError for other models and where this build lacks it."""
    pair = _pair(model)
    if pair is None:
        raise ModelNotFoundError(f"{model!r} is no bundled pair; expected {' or '.join(BUNDLED_PAIRS)}")
    folder = BUNDLED / BUNDLED_PAIRS[pair]
    if not folder.is_dir():
        raise ModelNotFoundError(
            f"this build of dpr-tiny-retriever lacks its pair {pair!r}: there is no folder {folder}; install the "
            "package from PyPI, or pass a preset, a hub id (owner/name) or a folder as the model"
        )
    return folder


def _pair(model: Model) -> str | None:
    """The name of a bundled pair without its release; None for any other model."""
    if model is None:
        return next(iter(BUNDLED_PAIRS))
    named = _NAME.fullmatch(str(model))
    if named is None:
        return None
    pair, release = named["pair"], named["release"]
    if release not in (None, _RELEASE):
        raise ModelNotFoundError(
            f"{model} is the bundled pair of release {release}; this is {__version__}, which has {pair}@{_RELEASE}. "
            f'Ways out: pip install "dpr-tiny-retriever=={release}.*"; or load {pair}@{_RELEASE}, and index the '
            "documents again with it"
        )
    return pair
