"""Downloads from the hub what one side needs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dpr_tiny_retriever.checkpoints.modules import MODULES_FILE, ROUTER_FILE, Module, read_modules
from dpr_tiny_retriever.checkpoints.sentence_transformers import MODEL_SETTINGS_FILE, TRANSFORMER_SETTINGS_FILE
from dpr_tiny_retriever.checkpoints.tokenizer_files import SETTINGS_FILE, VOCABULARY_FILES
from dpr_tiny_retriever.checkpoints.weights import H5_FILE, SAFETENSORS_FILE, SHARDS_FILE, WEIGHT_FILES, shard_names
from dpr_tiny_retriever.errors import ModelNotFoundError
from dpr_tiny_retriever.types import Side

#: Small files that tell what else is needed.
SMALL_FILES = (
    "config.json",
    MODULES_FILE,
    ROUTER_FILE,
    f"[0-9]_Router/{ROUTER_FILE}",
    MODEL_SETTINGS_FILE,
    TRANSFORMER_SETTINGS_FILE,
    SETTINGS_FILE,
)
#: What a module in a folder of its own has beside weights and vocabulary.
MODULE_FILES = ("config.json", ROUTER_FILE, TRANSFORMER_SETTINGS_FILE, SETTINGS_FILE)


def download(
    repository: str,
    side: Side,
    *,
    revision: str | None,
    token: str | bool | None,
    local_files_only: bool,
    settings_known: bool,
) -> tuple[Path, tuple[str, ...]]:
    """The snapshot folder of a repository, with all files of one side; and the files that may be missing from it.

    Those are settings that are neither in the local cache nor known to be absent from the repository, which only the
    hub can tell; settings_known leaves them out. Raises ModelNotFoundError, which names the ways out.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot = _Snapshot.open(repository, side, revision, token, local_files_only)
        modules = read_modules(snapshot.folder, side)
        transformer = modules[0].folder if modules else snapshot.folder
        for folder in {folder for _, folder in modules} - {snapshot.folder}:
            snapshot.fetch_all(folder, MODULE_FILES)
        for kind, folder in modules:
            if kind == "Dense":
                snapshot.fetch(folder / SAFETENSORS_FILE)
        unknown = () if settings_known else snapshot.unknown_settings(transformer, modules)
        has_weights = snapshot.fetch_weights(transformer)
        snapshot.fetch_first(transformer, VOCABULARY_FILES)
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        offline = local_files_only or constants.HF_HUB_OFFLINE
        raise ModelNotFoundError(_not_available(repository, side, revision, error, offline)) from error
    if not has_weights:
        raise ModelNotFoundError(
            f"{repository} holds neither {SAFETENSORS_FILE} nor {H5_FILE}; expected one of them. A repository with "
            "pytorch_model.bin alone is converted by loading it with transformers.AutoModel.from_pretrained and "
            "calling save_pretrained(folder) on it: then pass that folder"
        )
    return snapshot.root, unknown


@dataclass(frozen=True)
class _Snapshot:
    """One commit of a repository in the local cache, to which files are added as they are needed."""

    repository: str
    root: Path
    folder: Path  # of the side
    token: str | bool | None
    local_files_only: bool

    @classmethod
    def open(
        cls, repository: str, side: Side, revision: str | None, token: str | bool | None, local_files_only: bool
    ) -> _Snapshot:
        """Download the small files."""
        from huggingface_hub import snapshot_download

        names = [f"{folder}{name}" for folder in ("", f"{side}_encoder/") for name in SMALL_FILES]
        root = Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=names,
                token=token,
                local_files_only=local_files_only,
            )
        )
        own = root / f"{side}_encoder"
        return cls(repository, root, own if own.is_dir() else root, token, local_files_only)

    def fetch(self, path: Path) -> bool:
        """Download a file unless it is there; False where the repository has none."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        if path.is_file():
            return True
        if self._known_absent(path):
            return False
        try:
            # By the snapshot's commit: a repository that changes meanwhile must not give a mixture.
            hf_hub_download(
                self.repository,
                path.relative_to(self.root).as_posix(),
                revision=self.root.name,
                token=self.token,
                local_files_only=self.local_files_only,
            )
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return False
        return True

    def fetch_all(self, folder: Path, names: Iterable[str]) -> None:
        """Download those of several files that the repository has; one that cannot be had now is left out."""
        from huggingface_hub.errors import LocalEntryNotFoundError

        for name in names:
            try:
                self.fetch(folder / name)
            except LocalEntryNotFoundError:
                continue

    def fetch_first(self, folder: Path, names: Iterable[str]) -> bool:
        """Download the first of these files that the repository has; return False if it has none of them."""
        names = list(names)
        return any((folder / name).is_file() for name in names) or any(self.fetch(folder / name) for name in names)

    def fetch_weights(self, folder: Path) -> bool:
        """Download the weights in the best form; False where there are none."""
        found = self.fetch_first(folder, WEIGHT_FILES)
        index = folder / SHARDS_FILE
        if index.is_file() and not (folder / SAFETENSORS_FILE).is_file():
            found = all(self.fetch(folder / name) for name in sorted(set(shard_names(index).values())))
        return found

    def unknown_settings(self, transformer: Path, modules: list[Module]) -> tuple[str, ...]:
        """Settings that may exist but are not in the cache; online, those that the hub does not have become known."""
        names = [self.folder / MODULES_FILE, transformer / SETTINGS_FILE]
        if (self.folder / MODULES_FILE).is_file():
            names += [self.folder / MODEL_SETTINGS_FILE, transformer / TRANSFORMER_SETTINGS_FILE]
        names += [folder / "config.json" for kind, folder in modules if kind in ("Pooling", "Dense")]
        self.fetch_all(self.root, [path.relative_to(self.root).as_posix() for path in names])
        missing = [path for path in names if not path.is_file() and not self._known_absent(path)]
        return tuple(path.relative_to(self.root).as_posix() for path in missing)

    def _known_absent(self, path: Path) -> bool:
        """Whether the cache has a note that the repository has no such file."""
        from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

        name = path.relative_to(self.root).as_posix()
        return try_to_load_from_cache(self.repository, name, revision=self.root.name) is _CACHED_NO_EXIST


def _not_available(repository: str, side: Side, revision: str | None, error: Exception, offline: bool) -> str:
    at = f" at revision {revision}" if revision else ""
    reply = str(error).strip().splitlines()[0]
    why = "this run may not use the network" if offline else f"the hub says: {reply}"
    return (
        f"the {side} model {repository}{at} is neither a folder here nor in the local hub cache, and {why}. "
        "Ways out: run once online without local_files_only and HF_HUB_OFFLINE; check the name and, for a private "
        "repository, pass token=; copy the hub cache of a machine that has it and set HF_HOME; "
        f"or download it there (hf download {repository} --local-dir FOLDER) and pass the folder"
    )
