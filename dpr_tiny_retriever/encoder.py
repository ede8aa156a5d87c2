"""One side of a pair: texts -> vectors."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.checkpoints.checkpoint import Checkpoint, read_checkpoints, write_checkpoint
from dpr_tiny_retriever.checkpoints.hub import absolute_model, model_name, passage_side_of, resolve
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.exact_dot import exact_dot_bound, refuse_needless, with_exact_dot
from dpr_tiny_retriever.load_options import (
    LoadOptions,
    complete_options,
    spell_out_options,
    without,
)
from dpr_tiny_retriever.model.config import BertConfig, BertWeights
from dpr_tiny_retriever.model.runner import Runner
from dpr_tiny_retriever.model.tree import tree_leaves
from dpr_tiny_retriever.model_stamp import ModelStamp, check_fingerprint, digest, model_fingerprint
from dpr_tiny_retriever.passage import PassageLike, as_passages, iterated_passages
from dpr_tiny_retriever.progress import is_bar_shown, progress_bar
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer, Tokens
from dpr_tiny_retriever.text.text_blocks import BLOCK, text_blocks
from dpr_tiny_retriever.types import Model, Side, Similarity, Vectors
from dpr_tiny_retriever.whole_numbers import check_batch_size, checked_length

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)

#: Above this many texts a progress bar is shown, unless the caller says otherwise.
_MAX_TEXTS_WITHOUT_BAR = 1000


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
        side: Side | None = None,
        exact_dot: bool = False,
    ) -> None:
        """Make an encoder of float32 arrays; max_length is in tokens, special tokens included.

        runner runs these weights, by a backend of your choice; None is Runner(config, weights). side None is a model
        for both sides. exact_dot is as in LoadOptions, and needs a side; it raises ValueError where it is needless.
        """
        if exact_dot:
            refuse_needless(config.normalize, similarity, side)
        if tokenizer.vocab_size > config.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the word embeddings have {config.vocab_size} rows; "
                "expected the tokenizer that the model was trained with"
            )
        self.config = config
        self.weights = weights
        self.tokenizer = tokenizer
        self.max_length = checked_length(max_length, config.max_position_embeddings)
        self.similarity: Similarity = similarity
        self.side: Side | None = side
        self.exact_dot = exact_dot
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
        encoder = load_encoders({side: model}, {side: max_length}, complete)[side]
        if complete["fingerprint"] is not None:
            check_fingerprint(encoder, complete["fingerprint"], model_name(model))
        return encoder

    @property
    def embedding_dim(self) -> int:
        """The dimension of the vectors, including the extra component of exact_dot."""
        return self.config.embedding_dim + self.exact_dot

    @cached_property
    def exact_dot_bound(self) -> float | None:
        """The norm that exact_dot gives every passage vector; None without exact_dot and for query encoders."""
        return exact_dot_bound(self.config, self.weights) if self.exact_dot and self.side == "passage" else None

    @cached_property
    def stamp(self) -> ModelStamp:
        """The stamp to store with passage vectors of this encoder, or of the passage encoder paired with it.

        A query encoder loads the passage encoder of its pair once, to compute it; max_length is then None. Raises
        ModelMismatchError if the model of a query encoder is the passage encoder of a known pair.
        """
        again: dict[str, Any] = {} if self._reload is None else self._reload.keywords
        name = model_name(again["model"]) if again else "arrays"
        if self.side != "query" or not again:
            return ModelStamp.of(self, name)
        other = {"model": passage_side_of(again["model"]), "side": "passage", "max_length": None}
        running = {"backend": "numpy", "device": None, "precision": "float32"}  # it runs nothing
        stamp = ModelStamp.of(Encoder.from_pretrained(**{**again, **other, **running}), name)
        return replace(stamp, max_length=None, query_fingerprint=model_fingerprint(self))

    @property
    def normalize(self) -> bool:
        """Whether the vectors have unit length, so that dot product, cosine and L2 rank alike."""
        return self.config.normalize

    @property
    def ranks_alike(self) -> bool:
        """Whether dot product, cosine and L2 rank this model's passages alike: by unit length or by exact_dot."""
        return self.normalize or self.exact_dot

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
            check_batch_size(batch_size)
            tokens = self.tokenizer.tokenize(pairs, self.max_length)
            self._count_truncated(tokens)
            return self._completed(self._runner.forward(tokens, batch_size=batch_size))
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
        twin = Encoder(self.config, self.weights, self.tokenizer, max_length=max_length, **self._own)
        twin._reload = self._reload and partial(self._reload, max_length=max_length)
        return twin

    def fingerprint(self, *, model_only: bool = False) -> str:
        """Return a hex digest of all that the vectors depend on: weights, configuration, tokenizer, length, precision.

        Backends share it, although their vectors differ by up to 1e-5. With exact_dot, that and the side are included.
        model_only leaves out length, precision and exact_dot, which do not make vectors of two encoders incomparable.
        """
        tokenizer = self.tokenizer
        stated: tuple[object, ...] = (self.config, tokenizer.text_segment, tokenizer.prompt)
        if not model_only:
            exact = ("exact_dot", self.side) if self.exact_dot else ()
            stated = (self.config, self.max_length, *stated[1:], self._runner.precision, *exact)
        return digest(stated, tokenizer.tokenizer.to_str(), tree_leaves(self.weights))

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write this side as a folder that transformers and sentence-transformers load too, whole or not at all."""
        with replaced_folder(Path(directory)) as folder:
            write_checkpoint(folder, self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        """What a model folder holds of this side."""
        return Checkpoint(self.config, self.weights, self.tokenizer, self.max_length, self.similarity)

    def __repr__(self) -> str:
        form = "arrays" if self._reload is None else "{model!r}, side={side!r}"
        made_of = form.format(**(self._reload.keywords if self._reload else {}))
        exact = ", exact_dot=True" if self.exact_dot else ""
        return f"Encoder({made_of}, embedding_dim={self.embedding_dim}{exact}, backend={self.backend!r})"

    def __reduce__(self) -> tuple[Callable[..., Encoder], tuple[Any, ...]]:
        made = partial(Encoder, self.config, self.weights, self.tokenizer, max_length=self.max_length, **self._own)
        return self._reload or made, ()

    @property
    def _own(self) -> dict[str, Any]:
        """The keyword arguments, other than max_length, that copies are made with."""
        return {"similarity": self.similarity, "side": self.side, "exact_dot": self.exact_dot, "runner": self._runner}

    def _completed(self, vectors: Vectors) -> Vectors:
        return with_exact_dot(vectors, self.exact_dot_bound) if self.exact_dot else vectors

    def _blocks(
        self, pairs: Iterator[tuple[str, str]], batch_size: int | None, shown: bool, total: int | None
    ) -> Iterator[Vectors]:
        check_batch_size(batch_size)
        with progress_bar(total=total, unit=" texts", show_progress=shown) as progress:
            chunks = self._tokenized(pairs)
            blocks = self._runner.forward_chunks(chunks, batch_size=batch_size, done=progress.update)
            yield from map(self._completed, blocks)

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
    access: dict[str, Any] = without(options, *(options.keys() - {"revision", "token", "local_files_only"}))
    sources = {side: resolve(model, side, **access) for side, model in models.items()}
    checkpoints = read_checkpoints(sources, pooling=options["pooling"], normalize=options["normalize"])
    running: dict[str, Any] = without(options, *(options.keys() - {"backend", "threads", "device", "precision"}))
    runners: dict[int, Runner] = {}
    encoders: dict[Side, Encoder] = {}
    for side, checkpoint in checkpoints.items():
        config, weights, max_length = checkpoint.config, checkpoint.weights, max_lengths[side]
        if id(weights) not in runners:
            runners[id(weights)] = Runner(config, weights, **running)
        encoders[side] = encoder = Encoder(
            config,
            weights,
            checkpoint.tokenizer,
            max_length=checkpoint.max_length if max_length is None else max_length,
            similarity=checkpoint.similarity,
            runner=runners[id(weights)],
            side=side,
            exact_dot=options["exact_dot"],
        )
        again: dict[str, Any] = {"model": absolute_model(models[side]), "side": side, "max_length": max_length}
        again.update(without(options, "token", "fingerprint"))
        encoder._reload = partial(Encoder.from_pretrained, **again)
    return encoders
