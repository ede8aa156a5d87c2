"""The weights that a run starts from: a checkpoint, a new model, or one with layers put on top."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.model.config import BertConfig, BertWeights, Dense, Embeddings, Layer, LayerNorm
from dpr_tiny_retriever.model.runner import Runner
from dpr_tiny_retriever.text.pair_tokenizer import Tokens
from dpr_tiny_retriever.training.validated import Count, CountOrZero, Validated
from dpr_tiny_retriever.types import Array, Model, Pooling, Vectors

_SPREAD = 0.1  # standard deviation of a word's embedding


class NewModel(Validated, frozen=True, kw_only=True):
    """The shape of a model without training, and where its word embeddings come from.

    tokenizer_from is a model whose vocabulary it has, None the bundled pair. word_embeddings are "random"; "table", the
    principal components of that model's word embeddings; or "vectors", those of its vectors of each word piece alone,
    so that a bag of words already ranks somewhat. Without layers it is a bag of words.
    """

    tokenizer_from: str | None
    layers: CountOrZero = 2
    width: Count = 128
    heads: Count = 2
    word_embeddings: Literal["random", "table", "vectors"] = "table"
    pooling: Pooling = "mean"
    normalize: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}; expected one")


def load_start(model: Model = None, *, layers: int | None = None, tied: bool | None = None) -> DualEncoder:
    """Load a checkpoint or pair to train on.

    layers puts new ones on top of those that it has. tied True takes the query side for both sides, False makes two
    encoders of one; None leaves them as they are.
    """
    pair = DualEncoder.from_pretrained(model)
    query, passage = pair.query_encoder, pair.passage_encoder
    tied = is_tied(pair) if tied is None else tied
    if layers is not None:
        query, passage = add_layers(query, layers), add_layers(passage, layers)
    if tied:
        passage = with_weights(passage, query.weights, config=query.config)  # which keeps its tokenizer's prompt
    elif passage.weights is query.weights:
        passage = with_weights(passage, query.weights._replace())
    return DualEncoder(query, passage)


def is_tied(pair: DualEncoder) -> bool:
    """Whether both sides of a pair are one encoder."""
    return pair.query_encoder.weights is pair.passage_encoder.weights


def new_pair(new: NewModel, *, seed: int = 0) -> DualEncoder:
    """Make a model without training, one for both sides."""
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
    if new.word_embeddings == "random":
        words = _SPREAD * rng.standard_normal((config.vocab_size, new.width)).astype(np.float32)
    else:
        is_table = new.word_embeddings == "table"
        words = principal_words(source.weights.embeddings.word if is_table else word_vectors(source), new.width)
    embeddings = Embeddings(
        word=words,
        position=_zeros(config.max_position_embeddings, new.width),
        segment=_zeros(config.type_vocab_size, new.width),
        norm=_unit_norm(new.width),
    )
    pooler = Dense(_normal(rng, new.width, new.width), _zeros(new.width)) if new.pooling == "pooler" else None
    encoder = Encoder(
        config,
        BertWeights(embeddings, (), pooler, None),
        source.tokenizer,
        max_length=config.max_position_embeddings,
        similarity="cosine" if new.normalize else "dot",
    )
    encoder = add_layers(encoder, new.layers, seed=seed)
    return DualEncoder(encoder, encoder)


def add_layers(encoder: Encoder, layers: int, *, seed: int = 0) -> Encoder:
    """The same encoder with new layers on top, so that it has as many as layers says.

    A new layer passes on what it is given: its outputs begin at zero. The scale and offset of the last LayerNorm move
    to the new last one. Vectors stay what they were, but for the LayerNorm in between where a scale is not 1.
    """
    config, weights = encoder.config, encoder.weights
    if layers < config.num_hidden_layers:
        raise ValueError(f"layers is {layers}, and the model has {config.num_hidden_layers}; expected as many or more")
    if layers == config.num_hidden_layers:
        return encoder
    rng = np.random.default_rng(seed)
    below, embeddings = [*weights.layers], weights.embeddings
    if below:
        last_norm = below[-1].output_norm
        below[-1] = below[-1]._replace(output_norm=_unit_norm(config.hidden_size))
    else:
        last_norm = embeddings.norm
        embeddings = embeddings._replace(norm=_unit_norm(config.hidden_size))
    fresh = [_passing_layer(config, rng) for _ in range(layers - len(below))]
    fresh[-1] = fresh[-1]._replace(output_norm=last_norm)
    deeper = weights._replace(embeddings=embeddings, layers=(*below, *fresh))
    return with_weights(encoder, deeper, config=dataclasses.replace(config, num_hidden_layers=layers))


def with_weights(
    encoder: Encoder, weights: BertWeights, *, config: BertConfig | None = None, max_length: int | None = None
) -> Encoder:
    """An encoder like this one with other weights, and where they are given another configuration and length."""
    config = config or encoder.config
    return Encoder(
        config,
        weights,
        encoder.tokenizer,
        max_length=min(max_length or encoder.max_length, config.max_position_embeddings),
        similarity=encoder.similarity,
    )


def principal_words(wide: Array, width: int) -> Array:
    """The principal components of wider word embeddings, [vocab_size, width], each row with mean 0 and spread 0.1."""
    if wide.shape[1] < width:
        raise ValueError(
            f"word embeddings of {wide.shape[1]} numbers cannot make some of {width}; "
            "expected a wider model, or random ones"
        )
    components = np.linalg.eigh(wide.T @ wide)[1][:, ::-1][:, :width]
    words: Array = wide @ components
    words = words - words.mean(axis=1, keepdims=True)
    spread = np.maximum(words.std(axis=1, keepdims=True), 1e-6)
    return np.ascontiguousarray(_SPREAD * words / spread, np.float32)


def word_vectors(source: Encoder) -> Vectors:
    """The vector [vocab_size, t] of each word piece alone, between the special tokens."""
    size, tokenizer = source.config.vocab_size, source.tokenizer
    pieces = np.arange(size, dtype=np.int32)
    ids = np.stack([np.full_like(pieces, tokenizer.cls_id), pieces, np.full_like(pieces, tokenizer.sep_id)], axis=1)
    lengths = np.full(size, 3, np.int32)
    return Runner(source.config, source.weights).forward(Tokens(ids.reshape(-1), lengths, lengths, 0))


def _passing_layer(config: BertConfig, rng: np.random.Generator) -> Layer:
    width, inner = config.hidden_size, config.intermediate_size
    return Layer(
        query_key_value=Dense(_normal(rng, width, 3 * width), _zeros(3 * width)),
        attention_output=Dense(_zeros(width, width), _zeros(width)),
        attention_norm=_unit_norm(width),
        intermediate=Dense(_normal(rng, width, inner), _zeros(inner)),
        output=Dense(_zeros(inner, width), _zeros(width)),
        output_norm=_unit_norm(width),
    )


def _unit_norm(width: int) -> LayerNorm:
    return LayerNorm(np.ones(width, np.float32), _zeros(width))


def _normal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    scaled: Array = (rows**-0.5 * rng.standard_normal((rows, columns))).astype(np.float32)
    return scaled


def _zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)
