"""What the two embedders share: parameters, loading of one encoder, serialisation."""

import asyncio
import os
from dataclasses import KW_ONLY, dataclass, fields
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from haystack import default_from_dict, default_to_dict
from haystack.utils import Secret
from haystack.utils.auth import deserialize_secrets_inplace

from dpr_tiny_retriever.types import Pooling, Precision, Side

if TYPE_CHECKING:
    from dpr_tiny_retriever import Encoder

_Embedder = TypeVar("_Embedder", bound="TinyDPREmbedder")

_HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)

# One lock for all: loading is rare, and a component that holds no lock of its own can be copied and pickled.
_loading = Lock()


@dataclass(eq=False, repr=False)
class TinyDPREmbedder:
    """The parameters that both embedders take.

    model: a preset ("nlpconnect-L2"), the directory of a pair, one model's directory or hub id; None is the
        bundled pair. Of a pair, each embedder loads its own side only.
    revision, token, local_files_only: as in DualEncoder.from_pretrained. The token is a Secret, and is read
        when the model is loaded.
    max_length: tokens per text, special tokens included; None is what the model says.
    pooling: "pooler", "cls" or "mean"; None is what the model says.
    normalize_embeddings: True scales vectors to unit length, False does not; None is what the model says.
    precision: "float32", or "bfloat16": faster for many texts on processors that have it, vectors a little coarser.
    prefix, suffix: put around the text, never around a title.
    progress_bar: True shows one, False does not; None shows one for long work only.
    """

    side: ClassVar[Side]

    model: str | os.PathLike[str] | None = None
    _: KW_ONLY
    revision: str | None = None
    token: Secret | None = _HUB_TOKEN
    local_files_only: bool = False
    max_length: int | None = None
    pooling: Pooling | None = None
    normalize_embeddings: bool | None = None
    precision: Precision = "float32"
    prefix: str = ""
    suffix: str = ""
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.model, os.PathLike):
            self.model = os.fspath(self.model)  # a saved pipeline holds plain data
        if self.token is not None and not isinstance(self.token, Secret):
            raise TypeError(
                f"token is a {type(self.token).__name__}; expected a Secret, which keeps its value out of "
                'saved pipelines: Secret.from_env_var("HF_TOKEN") or Secret.from_token(...)'
            )
        self._encoder: Encoder | None = None

    @property
    def embedding_dim(self) -> int:
        """Length of the vectors, as a document store wants to know it; loads the model."""
        return self._load().embedding_dim

    def warm_up(self) -> None:
        """Load the model and whatever else a first run has to wait for; run() loads it too. Any thread may call it."""
        self._load().warm_up(bulk=self.side == "passage")

    async def warm_up_async(self) -> None:
        """Load the model without holding up the event loop."""
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
        """The component that to_dict described; data stays as it is."""
        parameters = dict(data.get("init_parameters", {}))
        deserialize_secrets_inplace(parameters, ["token"])
        return default_from_dict(cls, {**data, "init_parameters": parameters})

    def _load(self) -> "Encoder":
        if self._encoder is None:
            with _loading:
                if self._encoder is None:
                    from dpr_tiny_retriever import Encoder

                    encoder = Encoder.from_pretrained(
                        self.model,
                        side=self.side,
                        revision=self.revision,
                        token=self.token.resolve_value() if self.token else None,
                        local_files_only=self.local_files_only,
                        max_length=self.max_length,
                        pooling=self.pooling,
                        normalize=self.normalize_embeddings,
                        precision=self.precision,
                    )
                    self._encoder = encoder
        return self._encoder
