"""Preset, directory or hub id -> a local directory. The only room of the core that may touch the network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dpr_tiny_retriever.errors import ModelNotFoundError
from dpr_tiny_retriever.presets import PRESETS, Preset, Side, preset_of

BUNDLED = Path(__file__).parent / "models"

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

#: What an encoder reads beside its weights. Weights come one file at a time, so that only one form is downloaded.
_SMALL_FILES = (
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "[0-9]_Pooling/config.json",
    "[0-9]_Dense/config.json",
    "[0-9]_Dense/model.safetensors",
)
WEIGHT_FILES = ("model.safetensors", "tf_model.h5")


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

    A directory or repository that holds query_encoder/ and passage_encoder/ gives the folder of that side; any other
    is one model for both. Raises ModelNotFoundError, which names the ways out.
    """
    if model is None:
        return Source(_side_of(_bundled(), side))
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model is {type(model).__name__} {model!r}; expected a preset, a directory or a hub id")
    if model in PRESETS:
        preset = PRESETS[str(model)]
        return Source(_side_of(_download(preset.model(side), side, revision, token, local_files_only), side), preset)
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
    raise ModelNotFoundError(
        f"{directory} is not a model: found {', '.join(present[:8]) or 'nothing'}{', ...' if len(present) > 8 else ''}; "
        "expected config.json, or the folders query_encoder and passage_encoder"
    )


def _download(
    repository: str, side: Side, revision: str | None, token: str | bool | None, local_files_only: bool
) -> Path:
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    prefixes = ("", f"{side}_encoder/")
    try:
        snapshot = Path(
            snapshot_download(
                repository,
                revision=revision,
                token=token,
                local_files_only=local_files_only,
                allow_patterns=[prefix + name for prefix in prefixes for name in _SMALL_FILES],
            )
        )
        prefix = prefixes[1] if (snapshot / prefixes[1]).is_dir() else prefixes[0]
        for name in WEIGHT_FILES:
            try:
                hf_hub_download(
                    repository,
                    prefix + name,
                    # The commit of the snapshot: a repository that changes in between must not give a mixture.
                    revision=snapshot.name,
                    token=token,
                    local_files_only=local_files_only,
                )
            except LocalEntryNotFoundError:
                if not any((snapshot / prefix / other).is_file() for other in WEIGHT_FILES):
                    raise
            except EntryNotFoundError:
                continue
            return snapshot
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        offline = local_files_only or constants.HF_HUB_OFFLINE
        raise ModelNotFoundError(_not_to_be_had(repository, side, revision, error, offline)) from error
    raise ModelNotFoundError(
        f"{repository} holds neither {' nor '.join(WEIGHT_FILES)}; expected one of them: a PyTorch-only repository is "
        f"converted by loading it with transformers and calling save_pretrained(folder, safe_serialization=True)"
    )


def _not_to_be_had(repository: str, side: Side, revision: str | None, error: Exception, offline: bool) -> str:
    at = f" at revision {revision}" if revision else ""
    why = "this run may not use the network" if offline else f"the hub says: {str(error).strip().splitlines()[0]}"
    return (
        f"the {side} model {repository}{at} is not in the local hub cache, and {why}. Ways out: run once online without "
        "local_files_only and HF_HUB_OFFLINE; check the name and, for a private repository, pass token=; copy the hub "
        f"cache of a machine that has it and set HF_HOME; or download it there (hf download {repository}) and pass the folder"
    )
