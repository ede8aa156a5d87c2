"""One side of a pair: texts -> vectors."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.checkpoints.checkpoint import Checkpoint, read_checkpoints, write_checkpoint
from dpr_tiny_retriever.checkpoints.hub import absolute_model, resolve
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options, without_token
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.runner import Runner
from dpr_tiny_retriever.model.tree import tree_leaves
from dpr_tiny_retriever.passage import PassageLike, as_passages, iterated_passages
from dpr_tiny_retriever.progress import is_bar_shown, progress_bar
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer, Tokens
from dpr_tiny_retriever.text.text_blocks import BLOCK, text_blocks
from dpr_tiny_retriever.types import Model, Side, Similarity, Vectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)

#: Above this many texts a progress bar is shown, unless the caller says otherwise.
_MAX_TEXTS_WITHOUT_BAR = 1000
#: Raised whenever the same model and settings come to give other vectors, so that caches of vectors are made anew.
_FINGERPRINT_FORMAT = 1


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
        runner: Runner | None = None,
    ) -> None:
        """Make an encoder of float32 arrays; max_length is in tokens, special tokens included.

        runner runs these weights, by a backend of your choice; None is Runner(config, weights).
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
        self._runner = runner or Runner(config, weights)
        self._reload: partial[Encoder] | None = None  # loads the same encoder again
        self._num_truncated = 0
        self._is_warm = False
        self._lock = threading.Lock()

    @classmethod
    @spell_out_options
    def from_pretrained(
        cls, model: Model = None, *, side: Side, max_length: int | None = None, **options: Unpack[LoadOptions]
    ) -> Encoder:
        """Load one side of a preset, a directory or a hub id (None: the bundled pair).

        max_length is in tokens, special tokens included (None: what the model says); the options are LoadOptions'.
        Raises ModelNotFoundError where the model cannot be had, CheckpointError where it cannot be used, ValueError or
        MissingExtraError where a named backend cannot run it.
        """
        complete = complete_options(options, own=("model", "side", "max_length"))
        return load_encoders({side: model}, {side: max_length}, complete)[side]

    @property
    def embedding_dim(self) -> int:
        """The width of the vectors."""
        return self.config.embedding_dim

    @property
    def normalize(self) -> bool:
        """Whether the vectors have unit length, so that dot product, cosine and L2 rank alike."""
        return self.config.normalize

    @property
    def backend(self) -> str:
        """What runs the model, and in which build, such as "native (AVX2)" or "tensorflow (CPU)"."""
        return self._runner.backend.name

    @property
    def num_truncated(self) -> int:
        """How many texts have been longer than max_length so far, and were cut."""
        return self._num_truncated

    def encode(
        self, passages: Iterable[PassageLike], *, batch_size: int | None = None, show_progress: bool | None = None
    ) -> Vectors:
        """Encode titled or plain texts to float32 [n, embedding_dim], in the caller's order.

        An empty text is encoded as one without words. batch_size is the most texts in one batch where texts are many
        (None: as many as are fast). show_progress None shows a bar for long work only.
        """
        return self.encode_pairs(as_passages(passages), batch_size=batch_size, show_progress=show_progress)

    def encode_pairs(
        self, pairs: list[tuple[str, str]], *, batch_size: int | None = None, show_progress: bool | None = None
    ) -> Vectors:
        """As encode, for checked pairs of a title, "" for none, and a text: what passage.as_passages returns."""
        is_long = show_progress is not None or len(pairs) > _MAX_TEXTS_WITHOUT_BAR
        shown = is_long and is_bar_shown(show_progress)
        if len(pairs) <= BLOCK and not shown:  # without what a stream needs, which costs as much as a question
            _check_batch_size(batch_size)
            tokens = self.tokenizer.tokenize(pairs, self.max_length)
            self._count_truncated(tokens)
            return self._runner.forward(tokens, batch_size=batch_size)
        vectors = np.empty((len(pairs), self.embedding_dim), np.float32)
        filled = 0
        for block in self._blocks(iter(pairs), batch_size, shown, len(pairs)):
            vectors[filled : filled + len(block)] = block
            filled += len(block)
        return vectors

    def stream(
        self, passages: Iterable[PassageLike], *, batch_size: int | None = None, show_progress: bool | None = None
    ) -> Iterator[Vectors]:
        """Encode any number of texts in bounded memory: yield blocks of float32 [at most 4096, embedding_dim].

        Blocks come in the caller's order, and passages is read only some blocks ahead. The first bad item raises when
        its block is read; what was yielded before stays good. Otherwise as encode.
        """
        yield from self._blocks(iterated_passages(passages), batch_size, show_progress is True, None)

    def warm_up(self, *, bulk: bool = True) -> None:
        """Do now what only a first call has to do, so that it is as fast as every other.

        bulk=False readies what few texts at a time need, such as questions: TensorFlow is then loaded only where it
        runs these, too.
        """
        if not self._is_warm:  # pipelines call it before every run
            self.tokenizer.warm_up()
            self.encode_pairs([("", "")], show_progress=False)
            self._is_warm = True
        if bulk:
            self._runner.backend.warm_up()

    def with_max_length(self, max_length: int) -> Encoder:
        """The same model cut at another length; weights and backend are shared."""
        parts = (self.config, self.weights, self.tokenizer)
        twin = Encoder(*parts, max_length=max_length, similarity=self.similarity, runner=self._runner)
        twin._reload = self._reload and partial(self._reload, max_length=max_length)
        return twin

    def fingerprint(self) -> str:
        """A digest of all that decides the vectors to 1e-5: weights, configuration, tokenizer, length, precision."""
        tokenizer = self.tokenizer
        digest = hashlib.blake2b(digest_size=16)
        stated = (self.config, self.max_length, tokenizer.text_segment, tokenizer.prompt, self._runner.precision)
        digest.update(repr((_FINGERPRINT_FORMAT, *stated)).encode())
        digest.update(tokenizer.tokenizer.to_str().encode())
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
        write_checkpoint(folder, self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        """What a model folder holds of this side."""
        return Checkpoint(self.config, self.weights, self.tokenizer, self.max_length, self.similarity)

    def __repr__(self) -> str:
        made_of = "arrays"
        if self._reload is not None:
            made_of = "{model!r}, side={side!r}".format(**self._reload.keywords)
        return f"Encoder({made_of}, embedding_dim={self.embedding_dim}, backend={self.backend!r})"

    def __reduce__(self) -> tuple[Callable[..., Encoder], tuple[Any, ...]]:
        if self._reload is not None:
            return self._reload, ()
        made = partial(Encoder, max_length=self.max_length, similarity=self.similarity, runner=self._runner)
        return made, (self.config, self.weights, self.tokenizer)

    def _blocks(
        self, pairs: Iterator[tuple[str, str]], batch_size: int | None, shown: bool, total: int | None
    ) -> Iterator[Vectors]:
        _check_batch_size(batch_size)
        with progress_bar(total=total, unit=" texts", show_progress=shown) as progress:
            chunks = self._tokenized(pairs)
            yield from self._runner.forward_chunks(chunks, batch_size=batch_size, done=progress.update)

    def _tokenized(self, pairs: Iterator[tuple[str, str]]) -> Iterator[Tokens]:
        for block in text_blocks(pairs):
            tokens = self.tokenizer.tokenize(block, self.max_length)
            self._count_truncated(tokens)
            yield tokens

    def _count_truncated(self, tokens: Tokens) -> None:
        if tokens.num_truncated:
            with self._lock:
                self._num_truncated += tokens.num_truncated
            count = len(tokens.lengths)
            logger.info("%d of %d texts were cut to %d tokens", tokens.num_truncated, count, self.max_length)


def load_encoders(
    models: Mapping[Side, Model], max_lengths: Mapping[Side, int | None], options: LoadOptions
) -> dict[Side, Encoder]:
    """Load the sides asked for; sides of the same weights share them and what runs them. The options are complete."""
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
    runners: dict[int, Runner] = {}
    encoders: dict[Side, Encoder] = {}
    for side, checkpoint in checkpoints.items():
        config, weights, max_length = checkpoint.config, checkpoint.weights, max_lengths[side]
        if id(weights) not in runners:
            runners[id(weights)] = Runner(
                config,
                weights,
                backend=options["backend"],
                threads=options["threads"],
                device=options["device"],
                precision=options["precision"],
            )
        encoders[side] = encoder = Encoder(
            config,
            weights,
            checkpoint.tokenizer,
            max_length=checkpoint.max_length if max_length is None else max_length,
            similarity=checkpoint.similarity,
            runner=runners[id(weights)],
        )
        again = {
            "model": absolute_model(models[side]),
            "side": side,
            "max_length": max_length,
            **without_token(options),
        }
        encoder._reload = partial(Encoder.from_pretrained, **again)
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
