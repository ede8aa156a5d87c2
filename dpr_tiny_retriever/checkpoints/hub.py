"""Preset, directory or hub id -> a local directory. The only room of the core that may touch the network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.checkpoints.presets import PRESETS, Preset, preset_of
from dpr_tiny_retriever.errors import ModelNotFoundError
from dpr_tiny_retriever.types import Side

BUNDLED = Path(__file__).parent.parent / "bundled"

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

#: What an encoder reads beside its weights and its vocabulary.
_SMALL_FILES = (
    "config.json",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "[0-9]_Pooling/config.json",
    "[0-9]_Dense/config.json",
    "[0-9]_Dense/model.safetensors",
)
#: Forms of one thing, the better first: of each, one file is downloaded.
WEIGHT_FILES = ("model.safetensors", "tf_model.h5")
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True)
class Source:
    """Where one side's files lie, and the preset they belong to, if they belong to one."""

    directory: Path
    preset: Preset | None = None


def resolve(
    model: str | os.PathLike[str] | None,
    side: Side,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Source:
    """Find one side of a model: None is the bundled pair, then a preset's name, a directory, a hub id.

    A directory or repository that holds query_encoder/ and passage_encoder/ gives the folder of that side; any
    other is one model for both. Raises ModelNotFoundError, which names the ways out.
    """
    if side not in ("query", "passage"):
        raise ValueError(f"side is {side!r}; expected 'query' or 'passage'")
    if model is None:
        return Source(_side_of(_bundled(), side))
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model is {type(model).__name__} {model!r}; expected a preset, a directory or a hub id")
    if model in PRESETS:
        preset = PRESETS[str(model)]
        snapshot = _download(preset.model(side), side, revision, token, local_files_only)
        return Source(_side_of(snapshot, side), preset)
    directory = Path(model).expanduser()
    if directory.is_dir():
        return Source(_side_of(directory, side))
    if directory.exists():
        raise ModelNotFoundError(f"{directory} is a file; expected the folder that holds config.json and the weights")
    if not isinstance(model, str) or not _HUB_ID.fullmatch(model):
        raise ModelNotFoundError(
            f"there is no folder {directory}, and it is no preset; expected a folder, a hub id (owner/name) "
            f"or one of the presets {', '.join(PRESETS)}"
        )
    return Source(_side_of(_download(model, side, revision, token, local_files_only), side), preset_of(model))


def _bundled() -> Path:
    if not BUNDLED.is_dir():
        raise ModelNotFoundError(
            "no model was named, and this build of dpr-tiny-retriever carries no bundled pair; pass a preset "
            f"({', '.join(PRESETS)}), a hub id (owner/name) or a folder"
        )
    return BUNDLED


def _side_of(directory: Path, side: Side) -> Path:
    folder = directory / f"{side}_encoder"
    if folder.is_dir():
        return folder
    if (directory / "config.json").is_file():
        return directory
    present = sorted(path.name for path in directory.iterdir())
    found = ", ".join(present[:8]) + (", ..." if len(present) > 8 else "")
    raise ModelNotFoundError(
        f"{directory} is not a model: found {found or 'nothing'}; "
        "expected config.json, or the folders query_encoder and passage_encoder"
    )


def _download(
    repository: str, side: Side, revision: str | None, token: str | bool | None, local_files_only: bool
) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where: dict[str, Any] = {"token": token, "local_files_only": local_files_only}
    folder = f"{side}_encoder"
    patterns = [prefix + name for prefix in ("", f"{folder}/") for name in _SMALL_FILES]
    try:
        snapshot = Path(snapshot_download(repository, revision=revision, allow_patterns=patterns, **where))
        inside = folder if (snapshot / folder).is_dir() else ""
        has_weights = _download_best(WEIGHT_FILES, repository, snapshot, inside, where)
        _download_best(VOCABULARY_FILES, repository, snapshot, inside, where)
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        offline = local_files_only or constants.HF_HUB_OFFLINE
        raise ModelNotFoundError(_not_to_be_had(repository, side, revision, error, offline)) from error
    if not has_weights:
        raise ModelNotFoundError(
            f"{repository} holds neither {' nor '.join(WEIGHT_FILES)}; expected one of them. A repository with "
            "pytorch_model.bin alone is converted by loading it with transformers.AutoModel.from_pretrained and "
            "calling save_pretrained(folder) on it: then pass that folder"
        )
    return snapshot


def _download_best(forms: tuple[str, ...], repository: str, snapshot: Path, folder: str, where: dict[str, Any]) -> bool:
    """Download the first of several forms that the repository has; False where it has none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if any((snapshot / folder / name).is_file() for name in forms):
        return True
    for name in forms:
        try:
            # By the snapshot's commit: a repository that changes meanwhile must not give a mixture.
            hf_hub_download(repository, f"{folder}/{name}".lstrip("/"), revision=snapshot.name, **where)
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            continue
        return True
    return False


def _not_to_be_had(repository: str, side: Side, revision: str | None, error: Exception, offline: bool) -> str:
    at = f" at revision {revision}" if revision else ""
    said = str(error).strip().splitlines()[0]
    why = "this run may not use the network" if offline else f"the hub says: {said}"
    return (
        f"the {side} model {repository}{at} is neither a folder here nor in the local hub cache, and {why}. "
        "Ways out: run once online without local_files_only and HF_HUB_OFFLINE; check the name and, for a private "
        "repository, pass token=; copy the hub cache of a machine that has it and set HF_HOME; "
        f"or download it there (hf download {repository}) and pass the folder"
    )
