"""Preset, folder or hub id -> a local folder. The only room of the core that may touch the network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dpr_tiny_retriever.checkpoints.bundled_pairs import BUNDLED_PAIRS, bundled_folder, is_bundled, released_name
from dpr_tiny_retriever.checkpoints.modules import MODULES_FILE
from dpr_tiny_retriever.checkpoints.presets import PRESETS, Preset, preset_of
from dpr_tiny_retriever.errors import ModelMismatchError, ModelNotFoundError
from dpr_tiny_retriever.types import Model, Pooling, Side

#: The subfolders of a pair.
_SIDES: dict[Side, str] = {"query": "query_encoder", "passage": "passage_encoder"}
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Source:
    """Where one side's files are, and the preset they belong to, if they belong to one.

    unknown_settings are files of a hub repository that may exist but are not in the local cache.
    """

    directory: Path
    preset: Preset | None = None
    repository: str | None = None
    unknown_settings: tuple[str, ...] = ()

    def require_settings(self, pooling: Pooling | None) -> None:
        """Raise ModelNotFoundError where files that change the vectors may be missing and no pooling is given."""
        if self.unknown_settings and pooling is None:
            raise ModelNotFoundError(
                f"the local hub cache holds only a part of {self.repository}: {', '.join(self.unknown_settings)} may "
                "exist on the hub and change the vectors. Ways out: run once online without local_files_only and "
                f"HF_HUB_OFFLINE; pass pooling= if you know how the model pools; or download the repository whole "
                f"(hf download {self.repository} --local-dir FOLDER) and pass the folder"
            )


def resolve(
    model: str | os.PathLike[str] | None,
    side: Side,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Source:
    """Find one side of a model: None or a name of BUNDLED_PAIRS is a pair that ships; then presets, folders, hub ids.

    A folder or repository that holds query_encoder/ and passage_encoder/ gives the folder of that side; any other is
    one model for both. A revision is for presets and hub ids only: others raise ValueError. A token is sent to the hub
    and to nothing else, so that it may be given with any model; an empty one is none. Raises ModelNotFoundError,
    which names the ways out.
    """
    if side not in ("query", "passage"):
        raise ValueError(f"side is {side!r}; expected 'query' or 'passage'")
    token = clean_token(token)
    if is_bundled(model):
        _refuse_revision(revision, "the bundled pair")
        return Source(_side_folder(bundled_folder(model), side))
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model is {type(model).__name__} {model!r}; expected a preset, a directory or a hub id")
    if model in PRESETS:
        preset = PRESETS[str(model)]
        return _from_hub(preset.model(side), side, preset, revision, token, local_files_only)
    directory = local_folder(model)
    if directory is not None:
        _refuse_revision(revision, f"the folder {directory}")
        return Source(_side_folder(directory, side))
    if not isinstance(model, str) or not HUB_ID.fullmatch(model):
        raise ModelNotFoundError(
            f"there is no folder {os.fspath(model)}, and it is no preset; expected a folder, a hub id (owner/name) "
            f"or one of {', '.join((*BUNDLED_PAIRS, *PRESETS))}"
        )
    return _from_hub(model, side, preset_of(model), revision, token, local_files_only)


def model_name(model: Model) -> str:
    """Return the name that stamps give a model: preset, hub id, or a folder's name without the path to it."""
    if is_bundled(model):
        return released_name(model)
    folder = None if model in PRESETS else local_folder(str(model))
    if folder is None:
        return str(model)
    folder = folder.absolute()
    return f"{folder.parent.name}/{folder.name}" if folder.name in _SIDES.values() else folder.name


def passage_side_of(model: Model) -> Model:
    """Return the model whose passage encoder is paired with this query encoder.

    One side of a known pair (a preset's repository, or one of the two folders of a pair) gives that pair; any other
    model is taken to encode both sides. Raises ModelMismatchError if the model is the passage encoder of a known pair.
    """
    if is_bundled(model) or model in PRESETS:
        return model
    folder = local_folder(str(model))
    pair: Model = None
    names: dict[Side, Model]
    if folder is not None:
        folder = folder.absolute()
        if all((folder.parent / name).is_dir() for name in _SIDES.values()):
            pair, names = folder.parent, {side: folder.parent / name for side, name in _SIDES.items()}
            model = folder
    elif preset := preset_of(str(model)):
        pair, names = preset.name, {side: preset.model(side) for side in _SIDES}
    if pair is None:
        return model
    if model == names["passage"]:
        raise ModelMismatchError(
            f"the model for questions is {model}, the passage side of a pair; expected the pair {pair} or its side for "
            f"questions, {names['query']}"
        )
    return pair if model == names["query"] else model


def local_folder(model: str | os.PathLike[str]) -> Path | None:
    """The folder of that path, ~ standing for the home folder; None where there is none."""
    try:
        directory = Path(model).expanduser()
        if directory.is_dir():
            return directory
        exists = directory.exists()
    except (OSError, RuntimeError, ValueError):  # too long, without a home folder, with a null character
        return None
    if exists:
        raise ModelNotFoundError(f"{directory} is a file; expected the folder that holds config.json and the weights")
    return None


def lasting_name(model: Model) -> str:
    """Return a name for saved files, by which another release or working directory loads the same model or fails."""
    return released_name(model) if is_bundled(model) else str(absolute_model(model))


def absolute_model(model: Model) -> str | None:
    """A folder by a path that still names it from another working directory; anything else as it is."""
    if model is None:
        return None
    folder = None if model in PRESETS or is_bundled(model) else local_folder(model)
    return str(model) if folder is None else str(folder.absolute())


def clean_token(token: str | bool | None) -> str | bool | None:
    """A token without the line ends that files and variables bring along; None for an empty one.

    No message shows the token.
    """
    if token is None or isinstance(token, bool):
        return token
    if not isinstance(token, str):
        raise TypeError(f"token is a {type(token).__name__}; expected a text, True, False or None")
    stripped = token.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError("the token holds blanks or characters that no token has; expected the token of the hub alone")
    return stripped or None


def _from_hub(
    repository: str, side: Side, preset: Preset | None, revision: str | None, token: str | bool | None, offline: bool
) -> Source:
    from dpr_tiny_retriever.checkpoints.hub_download import download

    snapshot, unknown = download(
        repository, side, revision=revision, token=token, local_files_only=offline, settings_known=preset is not None
    )
    return Source(_side_folder(snapshot, side), preset, repository, unknown)


def _refuse_revision(revision: str | None, what: str) -> None:
    if revision is not None:
        raise ValueError(f"revision is {revision!r}, but {what} has no revisions; expected it with a model of the hub")


def _side_folder(directory: Path, side: Side) -> Path:
    folder = directory / _SIDES[side]
    if folder.is_dir():
        return folder
    if any((directory / name).is_file() for name in ("config.json", MODULES_FILE)):
        return directory
    present = sorted(path.name for path in directory.iterdir())
    listed = ", ".join(present[:8]) + (", ..." if len(present) > 8 else "")
    raise ModelNotFoundError(
        f"{directory} is not a model: found {listed or 'nothing'}; "
        "expected config.json, or the folders query_encoder and passage_encoder"
    )
