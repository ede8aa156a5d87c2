"""The weights that a run starts from: a checkpoint, a new model, or one with layers put on top."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.model.bert_tensorflow import forward
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Embeddings, Layer, LayerNorm
from dpr_tiny_retriever.types import Array, Model, Pooling, Vectors

Words = Literal["random", "table", "vectors"]

_SPREAD = 0.1  # standard deviation of a word's numbers
_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True)
class NewModel:
    """The shape of a model without training, and where its word embeddings come from.

    tokenizer_from is a model whose vocabulary it has. words: "random"; "table": the principal components of that
    model's word embeddings; "vectors": what that model makes of each word piece alone, in the teacher's components,
    so that a bag of words already ranks somewhat.
    """

    tokenizer_from: Model
    layers: int = 2
    width: int = 128
    heads: int = 2
    words: Words = "table"
    pooling: Pooling = "mean"
    normalize: bool = True

    def __post_init__(self) -> None:
        if self.layers < 0 or self.width < 1 or self.heads < 1 or self.width % self.heads:
            raise ValueError(
                f"found {self.layers} layers, width {self.width}, {self.heads} heads; expected 0 layers or more, "
                "and a width that the heads divide"
            )
        if self.words not in get_args(Words):
            raise ValueError(f"words is {self.words!r}; expected {', '.join(get_args(Words))}")
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"pooling is {self.pooling!r}; expected {', '.join(get_args(Pooling))}")


def load_start(model: Model, *, layers: int | None = None) -> DualEncoder:
    """Load a checkpoint or pair to train on; with more layers than it has, put new ones on top."""
    pair = DualEncoder.from_pretrained(model)
    if layers is None:
        return pair
    query = grow(pair.query_encoder, layers)
    if pair.query_encoder.weights is not pair.passage_encoder.weights:
        return DualEncoder(query, grow(pair.passage_encoder, layers))
    passage = query.with_max_length(pair.passage_encoder.max_length)
    passage.tokenizer = pair.passage_encoder.tokenizer  # which has the prompt of its side
    return DualEncoder(query, passage)


def new_pair(new: NewModel, *, components: Vectors | None = None, seed: int = 0) -> DualEncoder:
    """Make a model without training, one for both sides; components [t, width] are the teacher's, for "vectors"."""
    source = Encoder.from_pretrained(new.tokenizer_from, side="passage")
    config = BertConfig(
        vocab_size=source.config.vocab_size,
        hidden_size=new.width,
        num_hidden_layers=0,
        num_attention_heads=new.heads,
        intermediate_size=4 * new.width,
        pooling=new.pooling,
        normalize=new.normalize,
    )
    rng = np.random.default_rng(seed)
    words = _words(new, source, components, rng)
    embeddings = Embeddings(
        word=words,
        position=np.zeros((config.max_position_embeddings, new.width), np.float32),
        segment=np.zeros((config.type_vocab_size, new.width), np.float32),
        norm=_norm(new.width),
    )
    pooler = Dense(_normal(rng, new.width, new.width), _zeros(new.width)) if new.pooling == "pooler" else None
    encoder = Encoder(
        config,
        BertWeights(embeddings, (), pooler, None),
        source.tokenizer,
        max_length=config.max_position_embeddings,
        similarity="cosine" if new.normalize else "dot",
    )
    encoder = grow(encoder, new.layers, seed=seed)
    return DualEncoder(encoder, encoder)


def grow(encoder: Encoder, layers: int, *, seed: int = 0) -> Encoder:
    """The same encoder with new layers on top, up to so many, that pass on what they are given.

    Their outputs begin at zero, and the scale and offset of the last normalisation move to the new last one: vectors
    stay what they were, but for the normalisation in between where a scale is not 1.
    """
    config, weights = encoder.config, encoder.weights
    if layers < config.num_hidden_layers:
        raise ValueError(f"the model has {config.num_hidden_layers} layers; expected to grow to as many or more")
    if layers == config.num_hidden_layers:
        return encoder
    rng = np.random.default_rng(seed)
    below = [*weights.layers]
    embeddings = weights.embeddings
    if below:
        last = below[-1].output_norm
        below[-1] = below[-1]._replace(output_norm=_norm(config.hidden_size))
    else:
        last = embeddings.norm
        embeddings = embeddings._replace(norm=_norm(config.hidden_size))
    fresh = [_passing_layer(config, rng) for _ in range(layers - len(below))]
    fresh[-1] = fresh[-1]._replace(output_norm=last)
    return Encoder(
        dataclasses.replace(config, num_hidden_layers=layers),
        weights._replace(embeddings=embeddings, layers=(*below, *fresh)),
        encoder.tokenizer,
        max_length=encoder.max_length,
        similarity=encoder.similarity,
    )


def _passing_layer(config: BertConfig, rng: np.random.Generator) -> Layer:
    width, wide = config.hidden_size, config.intermediate_size
    return Layer(
        query_key_value=Dense(_normal(rng, width, 3 * width), _zeros(3 * width)),
        attention_output=Dense(_zeros(width, width), _zeros(width)),
        attention_norm=_norm(width),
        intermediate=Dense(_normal(rng, width, wide), _zeros(wide)),
        output=Dense(_zeros(wide, width), _zeros(width)),
        output_norm=_norm(width),
    )


def _words(new: NewModel, source: Encoder, components: Vectors | None, rng: np.random.Generator) -> Array:
    """Word embeddings [vocab_size, width], each with mean 0 and a spread of 0.1."""
    size = source.config.vocab_size
    if new.words == "random":
        return _SPREAD * rng.standard_normal((size, new.width)).astype(np.float32)
    wide = np.asarray(source.weights.embeddings.word) if new.words == "table" else _token_vectors(source)
    if wide.shape[1] < new.width:
        raise ValueError(
            f"words of {wide.shape[1]} numbers cannot make words of {new.width}; "
            "expected a wider model, or words 'random'"
        )
    if new.words == "table" or components is None:
        components = np.linalg.eigh(wide.T @ wide)[1][:, ::-1][:, : new.width]
    words: Array = wide @ components
    words = words - words.mean(axis=1, keepdims=True)
    spread = np.maximum(words.std(axis=1, keepdims=True), 1e-6)
    return np.ascontiguousarray(_SPREAD * words / spread, np.float32)


def _token_vectors(source: Encoder) -> Array:
    """The vector [vocab_size, t] of each word piece between the special tokens."""
    size = source.config.vocab_size
    tokenizer = source.tokenizer
    columns = [np.full(size, tokenizer.cls_id), np.arange(size), np.full(size, tokenizer.sep_id)]
    ids = np.stack(columns, axis=1).astype(np.int32)
    full = np.full(_TOKENS_AT_ONCE, 3, np.int32)
    parts = [
        np.asarray(forward(source.weights, source.config, TokenBatch(part, full[: len(part)], full[: len(part)])))
        for part in (ids[at : at + _TOKENS_AT_ONCE] for at in range(0, size, _TOKENS_AT_ONCE))
    ]
    vectors: Array = np.concatenate(parts)
    return vectors


def _norm(width: int) -> LayerNorm:
    return LayerNorm(np.ones(width, np.float32), _zeros(width))


def _normal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    scaled: Array = (rows**-0.5 * rng.standard_normal((rows, columns))).astype(np.float32)
    return scaled


def _zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)
