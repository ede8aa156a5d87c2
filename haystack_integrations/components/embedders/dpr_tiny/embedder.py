"""The common part of the two embedders: parameters, loading, serialization, and checks against document stores."""

import asyncio
import inspect
import os
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, fields
from threading import Lock
from typing import Any, ClassVar, Protocol, TypeVar

from haystack import Document, default_from_dict, default_to_dict, logging
from haystack.utils import Secret
from haystack.utils.auth import deserialize_secrets_inplace

from dpr_tiny_retriever import STAMP_KEY, Encoder, ModelMismatchError, ModelNotFoundError, ModelStamp, check_stamp
from dpr_tiny_retriever.checkpoints.bundled_pairs import is_bundled, released_name
from dpr_tiny_retriever.load_options import DEFAULTS, LoadOptions, complete_options
from dpr_tiny_retriever.model_stamp import OnMismatch, check_on_mismatch
from dpr_tiny_retriever.types import BackendName, Pooling, Precision, Side
from haystack_integrations.components.embedders.dpr_tiny.connected_stores import problem_of

logger = logging.getLogger(__name__)


class _Describes(Protocol):
    def describe(self) -> str: ...


_Component = TypeVar("_Component", bound=_Describes)
_Embedder = TypeVar("_Embedder", bound="TinyDPREmbedder")

_HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)

# One lock for all components: loading is rare, and a component without a lock of its own can be copied and pickled.
_loading = Lock()


def described(made: type[_Component]) -> type[_Component]:
    """Restore a component's own repr, which @component replaces by one without model and backend."""
    made.__repr__ = made.describe  # type: ignore[assignment,method-assign]
    return made


def complete(made: type[_Embedder]) -> type[_Embedder]:
    """Restore an embedder's own repr, and document the shared parameters in its help()."""
    described(made)
    shared = inspect.cleandoc(TinyDPREmbedder.__doc__ or "").partition("\n\n")[2]
    made.__doc__ = f"{inspect.cleandoc(made.__doc__ or '')}\n{shared}"
    return made


@dataclass(eq=False, repr=False)
class TinyDPREmbedder:
    """The parameters that both embedders take.

    model: a preset ("nlpconnect-L2"), the directory of a pair, one model's directory or hub id; None is the
        bundled pair. Of a pair, each embedder loads its own side only.
    token: the hub's token, a Secret that is read when the model is loaded.
    max_length: tokens per text, special tokens included; None is what the model says.
    normalize_embeddings: normalize of LoadOptions.
    exact_dot: whether vectors get one more number, with which stores that rank by cosine or L2 rank as the dot product
        does; the same in both embedders. See LoadOptions.
    fingerprint: what encoder.fingerprint(model_only=True) has to be; saved pipelines have it, so that the same name
        with other weights is an error in a later run. None: whatever it is.
    on_mismatch: "error" or "warn", where a document store that the embedder is connected with in a pipeline holds
        vectors of another model, or ranks otherwise than the model does.
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
    exact_dot: bool = DEFAULTS["exact_dot"]
    fingerprint: str | None = DEFAULTS["fingerprint"]
    on_mismatch: OnMismatch = "error"
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
        check_on_mismatch(self.on_mismatch)
        self._encoder: Encoder | None = None
        self._checked: set[int] = set()  # connected components that passed the checks
        self._warnings: set[str] = set()

    def describe(self) -> str:
        """Return the repr: model, side, dimension and backend, as far as known before the model is loaded."""
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

    @property
    def stamp(self) -> ModelStamp:
        """The stamp that documents embedded for this model have in their meta; loads the model."""
        return self._load().stamp

    def check_stamps(self, documents: Iterable[Document]) -> None:
        """Check the stamps in the meta of retrieved documents against the model's; documents without one pass.

        Raises ModelMismatchError, or warns, as on_mismatch says.
        """
        for found in {document.meta.get(STAMP_KEY) for document in documents} - {None}:
            try:
                check_stamp(str(found), self.stamp)
            except ModelNotFoundError:
                return  # without the passage encoder its stamp is unknown
            except ModelMismatchError as error:
                self._tell(str(error))

    def check_store(self, store: Any, retriever: Any = None) -> None:
        """Check that a store's vector dimension, and its or its retriever's similarity function, suit the model.

        Raises ModelMismatchError, which names remedies, or warns, as on_mismatch says. Unknown stores pass.
        """
        problem = problem_of(self._load(), store, retriever)
        if problem is not None:
            self._tell(problem)

    def warm_up(self) -> None:
        """Load the model and do all other work of a first run; run() does the same. Any thread may call it."""
        self._load().warm_up(bulk=self.side == "passage")

    async def warm_up_async(self) -> None:
        """Call warm_up() in a worker thread, so that the event loop is not blocked."""
        await asyncio.to_thread(self.warm_up)

    def to_dict(self) -> dict[str, Any]:
        """The component as plain data; of a token, only the names of its environment variables.

        The bundled pair has the name that stays its own in later releases. The fingerprint of a model that is loaded
        is written with it. Raises ValueError for a token made by Secret.from_token.
        """
        parameters = {field.name: getattr(self, field.name) for field in fields(self)}
        if is_bundled(self.model):
            parameters["model"] = released_name(self.model)
        if self.fingerprint is None and (is_bundled(self.model) or self._encoder is not None):
            parameters["fingerprint"] = self.encoder.fingerprint(model_only=True)
        parameters["token"] = self.token.to_dict() if self.token else None
        return default_to_dict(self, **parameters)

    @classmethod
    def from_dict(cls: type[_Embedder], data: dict[str, Any]) -> _Embedder:
        """Deserialize what to_dict returned; data is not modified."""
        parameters = dict(data.get("init_parameters", {}))
        deserialize_secrets_inplace(parameters, ["token"])
        return default_from_dict(cls, {**data, "init_parameters": parameters})

    def _tell(self, problem: str) -> None:
        if self.on_mismatch == "error":
            raise ModelMismatchError(problem)
        self._warn(problem)

    def _warn(self, problem: str) -> None:
        if problem not in self._warnings:
            self._warnings.add(problem)
            logger.warning("{problem}", problem=problem)

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
            "exact_dot": self.exact_dot,
            "fingerprint": self.fingerprint,
            "backend": self.backend,
            "threads": self.threads,
            "device": self.device,
            "precision": self.precision,
        }
