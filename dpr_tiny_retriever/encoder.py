"""One side of a pair: texts -> vectors."""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_tiny_retriever._version import __version__
from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.checkpoints.checkpoint import Checkpoint, read_checkpoints, write_checkpoint
from dpr_tiny_retriever.checkpoints.hub import local_folder, resolve
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.runner import Forward
from dpr_tiny_retriever.model.tree import tree_leaves
from dpr_tiny_retriever.passage import PassageLike, as_passages, iterated_passages
from dpr_tiny_retriever.progress import is_bar_shown, progress_bar
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer, Tokens
from dpr_tiny_retriever.types import BackendName, Model, Precision, Side, Similarity, Vectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)

#: Texts tokenised and sorted together; two such blocks are what encoding holds in memory beside its input and output.
BLOCK = 4096
#: Above this many texts a progress bar is shown, unless the caller says otherwise.
_LONG_WORK = 1000


class Encoder:
    """One side of a pair: titled or plain texts to vectors, float32 [n, embedding_dim].

    Thread-safe. Pickles by loading again from where it came from; an encoder made of arrays carries them along.
    """

    def __init__(
        self,
        config: BertConfig,
        weights: BertWeights,
        tokenizer: PairTokenizer,
        *,
        max_length: int,
        similarity: Similarity = "dot",
        backend: BackendName = "auto",
        threads: int | None = None,
        device: str | None = None,
        precision: Precision = "float32",
    ) -> None:
        """Make an encoder of float32 arrays; max_length is in tokens, special tokens included.

        backend, threads, device and precision are as in LoadOptions.
        """
        if tokenizer.vocab_size > config.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the word embeddings have {config.vocab_size} rows; "
                "expected the tokenizer that the model was trained with"
            )
        self.config = config
        self.weights = weights
        self.tokenizer = tokenizer
        self.max_length = _checked_length(max_length, config)
        self.similarity: Similarity = similarity
        self._forward = Forward(config, weights, backend=backend, threads=threads, device=device, precision=precision)
        self._origin: dict[str, Any] | None = None
        self._num_truncated = 0
        self._warm = False
        self._lock = threading.Lock()

    @classmethod
    @spell_out_options
    def from_pretrained(
        cls, model: Model = None, *, side: Side, max_length: int | None = None, **options: Unpack[LoadOptions]
    ) -> Encoder:
        """Load one side of a preset, a directory or a hub id (None: the bundled pair).

        max_length is in tokens, special tokens included (None: what the model says); the options are LoadOptions'.
        Raises ModelNotFoundError where the model cannot be had, CheckpointError where it cannot be used.
        """
        complete = complete_options(options, own=("model", "side", "max_length"))
        encoder = load_encoders({side: model}, {side: max_length}, complete)[side]
        encoder._origin = {"model": absolute_model(model), "side": side, "max_length": max_length, **options}
        encoder._origin.pop("token", None)  # a pickle holds no secret
        return encoder

    @property
    def embedding_dim(self) -> int:
        """The width of the vectors."""
        return self.config.embedding_dim

    @property
    def normalize(self) -> bool:
        """Whether the vectors have unit length, so that dot product, cosine and L2 rank alike."""
        return self.config.normalize

    @property
    def num_truncated(self) -> int:
        """How many texts have been longer than max_length so far, and were cut."""
        return self._num_truncated

    def encode(
        self,
        passages: Iterable[PassageLike],
        *,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> Vectors:
        """Encode titled or plain texts to float32 [n, embedding_dim], in the caller's order.

        An empty text is encoded as one without words. batch_size is the most texts that one batch may hold (None: as
        many as fit the token budget). show_progress None shows a bar for long work only.
        """
        return self._encode(as_passages(passages), batch_size, show_progress)

    def stream(
        self,
        passages: Iterable[PassageLike],
        *,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> Iterator[Vectors]:
        """Encode any number of texts in bounded memory: yield blocks of float32 [at most 4096, embedding_dim].

        Blocks come in the caller's order, and passages is read only some blocks ahead. The first bad item raises when
        its block is read; what was yielded before stays good. Otherwise as encode.
        """
        yield from self._blocks(iterated_passages(passages), batch_size, show_progress is True, None)

    def warm_up(self, *, bulk: bool = True) -> None:
        """Do now what only a first call has to do, so that it is as fast as every other.

        bulk=False readies what few texts at a time need, such as questions, and never loads TensorFlow.
        """
        if not self._warm:  # pipelines call it before every run
            self.tokenizer.warm_up()
            self._encode([("", "")], None, False)
            self._warm = True
        if bulk:
            self._forward.warm_up()

    def with_max_length(self, max_length: int) -> Encoder:
        """The same model cut at another length; weights and graph are shared."""
        twin = Encoder.__new__(Encoder)
        own = {
            "max_length": _checked_length(max_length, self.config),
            "_num_truncated": 0,
            "_lock": threading.Lock(),
        }
        origin = self._origin and self._origin | {"max_length": max_length}
        twin.__dict__ |= self.__dict__ | own | {"_origin": origin}
        return twin

    def fingerprint(self) -> str:
        """A digest of all that decides the vectors: weights, configuration, tokenizer, length, precision, version."""
        digest = hashlib.blake2b(digest_size=16)
        stated = (__version__, self.config, self.max_length, self.tokenizer.text_segment, self._forward.precision)
        digest.update(repr((*stated, self.tokenizer.prompt)).encode())
        digest.update(self.tokenizer.tokenizer.to_str().encode())
        for array in tree_leaves(self.weights):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write this side as a folder that transformers and sentence-transformers load too, whole or not at all."""
        with replaced_folder(Path(directory)) as folder:
            self.write_into(folder)

    def write_into(self, folder: Path) -> None:
        """Write this side's files into an existing folder."""
        write_checkpoint(
            folder, Checkpoint(self.config, self.weights, self.tokenizer, self.max_length, self.similarity)
        )

    def _encode(self, pairs: list[tuple[str, str]], batch_size: int | None, show_progress: bool | None) -> Vectors:
        shown = (show_progress is not None or len(pairs) > _LONG_WORK) and is_bar_shown(show_progress)
        if len(pairs) <= BLOCK and not shown:  # without what a stream needs, which costs as much as a question
            _check_batch_size(batch_size)
            tokens = self.tokenizer.tokenize(pairs, self.max_length)
            self._count_truncated(tokens.num_truncated, len(pairs))
            return self._forward.encode(tokens, batch_size=batch_size)
        vectors = np.empty((len(pairs), self.embedding_dim), np.float32)
        filled = 0
        for block in self._blocks(iter(pairs), batch_size, shown, len(pairs)):
            vectors[filled : filled + len(block)] = block
            filled += len(block)
        return vectors

    def _blocks(
        self, pairs: Iterator[tuple[str, str]], batch_size: int | None, shown: bool, total: int | None
    ) -> Iterator[Vectors]:
        _check_batch_size(batch_size)
        with progress_bar(total=total, unit=" texts", show_progress=shown) as progress:
            yield from self._forward(self._tokens(pairs), batch_size=batch_size, done=progress.update)

    def _tokens(self, pairs: Iterator[tuple[str, str]]) -> Iterator[Tokens]:
        truncated = texts = 0
        while block := list(itertools.islice(pairs, BLOCK)):
            tokens = self.tokenizer.tokenize(block, self.max_length)
            truncated += tokens.num_truncated
            texts += len(block)
            yield tokens
        self._count_truncated(truncated, texts)

    def _count_truncated(self, truncated: int, texts: int) -> None:
        if truncated:
            with self._lock:
                self._num_truncated += truncated
            logger.info("%d of %d texts were cut to %d tokens", truncated, texts, self.max_length)

    def __reduce__(self) -> tuple[Callable[..., Encoder], tuple[Any, ...]]:
        if self._origin is not None:
            return functools.partial(Encoder.from_pretrained, **self._origin), ()
        forward = self._forward
        how: dict[str, Any] = {"backend": forward.backend, "threads": forward.threads}
        how |= {"device": forward.device, "precision": forward.precision}
        parts = (self.config, self.weights, self.tokenizer)
        return functools.partial(Encoder, max_length=self.max_length, similarity=self.similarity, **how), parts


def load_encoders(
    models: Mapping[Side, Model], max_lengths: Mapping[Side, int | None], options: LoadOptions
) -> dict[Side, Encoder]:
    """Load the sides asked for; sides that lie in one folder share weights and graph. The options are complete."""
    sources = {
        side: resolve(
            model,
            side,
            revision=options["revision"],
            token=options["token"],
            local_files_only=options["local_files_only"],
        )
        for side, model in models.items()
    }
    checkpoints = read_checkpoints(sources, pooling=options["pooling"], normalize=options["normalize"])
    loaded: dict[int, Encoder] = {}
    encoders: dict[Side, Encoder] = {}
    for side, checkpoint in checkpoints.items():
        if id(checkpoint.weights) not in loaded:
            loaded[id(checkpoint.weights)] = Encoder(
                checkpoint.config,
                checkpoint.weights,
                checkpoint.tokenizer,
                max_length=checkpoint.max_length,
                similarity=checkpoint.similarity,
                backend=options["backend"],
                threads=options["threads"],
                device=options["device"],
                precision=options["precision"],
            )
        length = max_lengths[side]
        encoder = loaded[id(checkpoint.weights)]
        twin = encoder.with_max_length(checkpoint.max_length if length is None else length)
        twin.tokenizer = checkpoint.tokenizer  # with the side's own prompt
        encoders[side] = twin
    return encoders


def _check_batch_size(batch_size: int | None) -> None:
    if batch_size is not None and not _is_whole(batch_size):
        raise TypeError(f"batch_size is {batch_size!r}; expected a whole number or None")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected at least 1, or None for as many as are fast")


def _checked_length(max_length: int, config: BertConfig) -> int:
    if not _is_whole(max_length):
        raise TypeError(f"the maximum length is {max_length!r}; expected a whole number of tokens")
    if not 3 <= max_length <= config.max_position_embeddings:
        raise ValueError(
            f"the maximum length is {max_length}; expected 3 to {config.max_position_embeddings} tokens, "
            "the model's max_position_embeddings"
        )
    return int(max_length)


def _is_whole(number: object) -> bool:
    """Whether this is a whole number, numpy's own included; True and False are none."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def absolute_model(model: Model) -> str | None:
    """A folder by a path that still names it from another working directory; anything else as it is."""
    if model is None:
        return None
    folder = local_folder(model)
    return str(model) if folder is None else str(folder.absolute())
