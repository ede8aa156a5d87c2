"""The common part of the two embedders: parameters, loading one encoder, serialisation."""

import asyncio
import os
from dataclasses import KW_ONLY, dataclass, fields
from threading import Lock
from typing import Any, ClassVar, TypeVar

from haystack import default_from_dict, default_to_dict
from haystack.utils import Secret
from haystack.utils.auth import deserialize_secrets_inplace

from dpr_tiny_retriever import Encoder
from dpr_tiny_retriever.load_options import DEFAULTS, LoadOptions, complete_options
from dpr_tiny_retriever.types import BackendName, Pooling, Precision, Side

_Embedder = TypeVar("_Embedder", bound="TinyDPREmbedder")

_HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)

# One lock for all components: loading is rare, and a component without a lock of its own can be copied and pickled.
_loading = Lock()


@dataclass(eq=False, repr=False)
class TinyDPREmbedder:
    """The parameters that both embedders take.

    model: a preset ("nlpconnect-L2"), the directory of a pair, one model's directory or hub id; None is the
        bundled pair. Of a pair, each embedder loads its own side only.
    token: the hub's token, a Secret that is read when the model is loaded.
    max_length: tokens per text, special tokens included; None is what the model says.
    normalize_embeddings: normalize of LoadOptions.
    revision, local_files_only, pooling, backend, threads, device, precision: as in LoadOptions.
    prefix, suffix: text put around a text, never around a title.
    progress_bar: True shows one, False does not; None shows one for long work only.
    """

    side: ClassVar[Side]

    model: str | os.PathLike[str] | None = None
    _: KW_ONLY
    revision: str | None = DEFAULTS["revision"]
    token: Secret | None = _HUB_TOKEN
    local_files_only: bool = DEFAULTS["local_files_only"]
    max_length: int | None = None
    pooling: Pooling | None = DEFAULTS["pooling"]
    normalize_embeddings: bool | None = DEFAULTS["normalize"]
    backend: BackendName = DEFAULTS["backend"]
    threads: int | None = DEFAULTS["threads"]
    device: str | None = DEFAULTS["device"]
    precision: Precision = DEFAULTS["precision"]
    prefix: str = ""
    suffix: str = ""
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.model, os.PathLike):
            self.model = os.fspath(self.model)  # a pipeline in YAML holds plain data
        if self.token is not None and not isinstance(self.token, Secret):
            raise TypeError(
                f"token is a {type(self.token).__name__}; expected a Secret, which keeps its value out of "
                'saved pipelines: Secret.from_env_var("HF_TOKEN") or Secret.from_token(...)'
            )
        if self.device is not None and not isinstance(self.device, str):
            raise TypeError(
                f"device is a {type(self.device).__name__}; expected None or TensorFlow's name for it, such as '/GPU:0'"
            )
        complete_options(self._load_options(token=None))  # refuses a wrong value now, not at the first run
        self._encoder: Encoder | None = None

    def __repr__(self) -> str:
        state = f"backend={self.backend!r}, not loaded yet"
        if self._encoder is not None:
            state = f"embedding_dim={self._encoder.embedding_dim}, backend={self._encoder.backend!r}"
        return f"{type(self).__name__}(model={self.model!r}, side={self.side!r}, {state})"

    @property
    def encoder(self) -> Encoder:
        """The encoder itself, with its similarity; loads the model."""
        return self._load()

    @property
    def embedding_dim(self) -> int:
        """The width of the vectors, which document stores ask for; loads the model."""
        return self._load().embedding_dim

    def warm_up(self) -> None:
        """Load the model and do all other work of a first run; run() does the same. Any thread may call it."""
        self._load().warm_up(bulk=self.side == "passage")

    async def warm_up_async(self) -> None:
        """Load the model without blocking the event loop."""
        await asyncio.to_thread(self.warm_up)

    def to_dict(self) -> dict[str, Any]:
        """The component as plain data; of a token, only the names of its environment variables.

        Raises ValueError for a token made by Secret.from_token.
        """
        parameters = {field.name: getattr(self, field.name) for field in fields(self)}
        parameters["token"] = self.token.to_dict() if self.token else None
        return default_to_dict(self, **parameters)

    @classmethod
    def from_dict(cls: type[_Embedder], data: dict[str, Any]) -> _Embedder:
        """The component that to_dict described; data is not changed."""
        parameters = dict(data.get("init_parameters", {}))
        deserialize_secrets_inplace(parameters, ["token"])
        return default_from_dict(cls, {**data, "init_parameters": parameters})

    def _load(self) -> Encoder:
        if self._encoder is None:
            with _loading:
                if self._encoder is None:
                    options = self._load_options(self.token.resolve_value() if self.token else None)
                    self._encoder = Encoder.from_pretrained(
                        self.model, side=self.side, max_length=self.max_length, **options
                    )
        return self._encoder

    def _load_options(self, token: str | None) -> LoadOptions:
        return {
            "revision": self.revision,
            "token": token,
            "local_files_only": self.local_files_only,
            "pooling": self.pooling,
            "normalize": self.normalize_embeddings,
            "backend": self.backend,
            "threads": self.threads,
            "device": self.device,
            "precision": self.precision,
        }
