"""A pair of encoders whose vectors are compared with each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.atomic_files import replaced_folder
from dpr_tiny_retriever.checkpoints.checkpoint import write_checkpoint
from dpr_tiny_retriever.checkpoints.hub import absolute_model, lasting_name, model_name, passage_side_of
from dpr_tiny_retriever.checkpoints.modules import ROUTER_FILE
from dpr_tiny_retriever.checkpoints.router_writer import write_router
from dpr_tiny_retriever.encoder import Encoder, load_encoders
from dpr_tiny_retriever.load_options import DEFAULTS, LoadOptions, complete_options, spell_out_options, without
from dpr_tiny_retriever.model_stamp import ModelStamp, check_fingerprint, digest, model_fingerprint
from dpr_tiny_retriever.passage import PassageLike, as_queries
from dpr_tiny_retriever.types import Model, Side, Similarity, Vectors

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DualEncoder:
    """A pair of encoders, one for queries and one for passages, whose vectors are compared with each other.

    Thread-safe. Pickles as Encoder does.
    """

    def __init__(self, query_encoder: Encoder, passage_encoder: Encoder) -> None:
        """Make a pair of two encoders; raises ValueError where their vectors cannot be compared."""
        for what, query, passage in (
            ("vectors of dimension", query_encoder.embedding_dim, passage_encoder.embedding_dim),
            ("similarity", query_encoder.similarity, passage_encoder.similarity),
            ("normalize", query_encoder.normalize, passage_encoder.normalize),
            ("exact_dot", query_encoder.exact_dot, passage_encoder.exact_dot),
        ):
            if query != passage:
                raise ValueError(
                    f"the two models are no pair: the query model has {what} {query}, the passage model {passage}; "
                    "expected two models that were trained together"
                )
        if passage_encoder.exact_dot and (query_encoder.side, passage_encoder.side) != ("query", "passage"):
            raise ValueError(
                f"found the sides {query_encoder.side!r} and {passage_encoder.side!r}, whose vectors with exact_dot "
                "cannot be compared; expected an encoder of the side 'query', and one of 'passage'"
            )
        self.query_encoder = query_encoder
        self.passage_encoder = passage_encoder
        self._reload: partial[DualEncoder] | None = None  # loads the same pair again

    @classmethod
    @spell_out_options
    def from_pretrained(
        cls,
        model: Model = None,
        *,
        query_model: Model = None,
        passage_model: Model = None,
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        **options: Unpack[LoadOptions],
    ) -> DualEncoder:
        """Load a pair: a preset, a folder or hub id with both sides, one model for both, or two models by name.

        With nothing named, the bundled pair. Lengths are in tokens, special tokens included (None: what the models
        say); the options are LoadOptions'. Raises ModelNotFoundError where a model cannot be had, CheckpointError where
        it cannot be used, ValueError where two models are no pair.
        """
        own = ("model", "query_model", "passage_model", "max_query_length", "max_passage_length")
        complete = complete_options(options, own)
        named = query_model is not None
        if named != (passage_model is not None) or (named and model is not None):
            given = {"model": model, "query_model": query_model, "passage_model": passage_model}
            found = " and ".join(name for name, value in given.items() if value is not None)
            raise ValueError(f"found {found}; expected model alone, or query_model and passage_model together")
        encoders = load_encoders(
            {"query": query_model if named else model, "passage": passage_model if named else model},
            {"query": max_query_length, "passage": max_passage_length},
            complete,
        )
        pair = cls(encoders["query"], encoders["passage"])
        if complete["fingerprint"] is not None:
            check_fingerprint(pair, complete["fingerprint"], model_name(passage_model or model))
        again = {
            "model": absolute_model(model),
            "query_model": absolute_model(query_model),
            "passage_model": absolute_model(passage_model),
            "max_query_length": max_query_length,
            "max_passage_length": max_passage_length,
            **without(complete, "token"),
        }
        pair._reload = partial(DualEncoder.from_pretrained, **again)
        return pair

    @property
    def embedding_dim(self) -> int:
        """The width of the vectors."""
        return self.query_encoder.embedding_dim

    @property
    def similarity(self) -> Similarity:
        """What the vectors are to be compared by, "dot" or "cosine"."""
        return self.query_encoder.similarity

    @property
    def normalize(self) -> bool:
        """Whether the vectors have unit length, so that dot product, cosine and L2 rank alike."""
        return self.query_encoder.normalize

    @property
    def ranks_alike(self) -> bool:
        """Whether dot product, cosine and L2 rank this pair's passages alike: by unit length or by exact_dot."""
        return self.passage_encoder.ranks_alike

    @property
    def exact_dot_bound(self) -> float | None:
        """The norm that exact_dot gives every passage vector; None without exact_dot."""
        return self.passage_encoder.exact_dot_bound

    @cached_property
    def stamp(self) -> ModelStamp:
        """The stamp to store with this pair's passage vectors.

        Raises ModelMismatchError if the query model is the passage encoder of another known pair.
        """
        again: dict[str, Any] = {} if self._reload is None else self._reload.keywords
        if again:
            passage_side_of(again["query_model"] or again["model"])
        name = model_name(again["passage_model"] or again["model"]) if again else self.passage_encoder.stamp.model
        stamp = ModelStamp.of(self.passage_encoder, name)
        return replace(stamp, query_fingerprint=model_fingerprint(self.query_encoder))

    def settings(self) -> dict[str, Any]:
        """Return the arguments from_pretrained loads this pair again with, as plain data, including its fingerprint.

        Left out are the token and what has its default. Raises ValueError for a pair of encoders made of arrays.
        """
        if self._reload is None:
            raise ValueError("this pair is made of arrays, not loaded: save it, and load that folder")
        given = {name: value for name, value in self._reload.keywords.items() if value != DEFAULTS.get(name)}
        names = ("query_model", "passage_model") if "query_model" in given else ("model",)
        return {**given, **{name: lasting_name(given.get(name)) for name in names}, "fingerprint": self.fingerprint()}

    def fingerprint(self, *, model_only: bool = False) -> str:
        """Return a hex digest of all that both sides' vectors depend on; model_only as for Encoder.fingerprint."""
        sides = (self.query_encoder, self.passage_encoder)
        return digest(tuple(side.fingerprint(model_only=model_only) for side in sides), "", ())

    @property
    def backend(self) -> str:
        """What runs the models, such as "native (AVX2)"; of both sides, where they differ."""
        query, passage = self.query_encoder.backend, self.passage_encoder.backend
        return query if query == passage else f"{query} for queries, {passage} for passages"

    def encode_queries(
        self, queries: Iterable[str], *, batch_size: int | None = None, show_progress: bool | None = None
    ) -> Vectors:
        """Encode queries to float32 [n, embedding_dim]; the options are those of Encoder.encode."""
        pairs = [("", query) for query in as_queries(queries)]
        return self.query_encoder.encode_pairs(pairs, batch_size=batch_size, show_progress=show_progress)

    def encode_passages(
        self,
        passages: Iterable[PassageLike],
        *,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> Vectors:
        """Encode Passage, (title, text) or plain str to float32 [n, embedding_dim]; options as for Encoder.encode."""
        return self.passage_encoder.encode(passages, batch_size=batch_size, show_progress=show_progress)

    def stream_passages(
        self,
        passages: Iterable[PassageLike],
        *,
        batch_size: int | None = None,
        show_progress: bool | None = None,
    ) -> Iterator[Vectors]:
        """Encode any number of passages in bounded memory, block by block; see Encoder.stream."""
        return self.passage_encoder.stream(passages, batch_size=batch_size, show_progress=show_progress)

    def warm_up(self, *, bulk: bool = True) -> None:
        """Do now what only first calls have to do: of questions and, unless bulk=False, of many passages."""
        self.query_encoder.warm_up(bulk=False)
        self.passage_encoder.warm_up(bulk=bulk)

    def save_pretrained(self, directory: str | os.PathLike[str], *, router: bool = False) -> None:
        """Write query_encoder/ and passage_encoder/ into a folder, both or neither.

        Each side loads in transformers and sentence-transformers too. What else a folder holds is kept. router=True
        writes one Router instead: sentence-transformers loads it as one model, with encode_query and encode_document.
        Raises ValueError where the folder holds a model in the other of these two forms.
        """
        other = Path(directory) / ("query_encoder" if router else ROUTER_FILE)
        if other.exists():
            raise ValueError(f"{directory} holds {other.name}, another form of a pair; expected a folder without it")
        with replaced_folder(Path(directory)) as folder:
            if router:
                sides: dict[Side, Encoder] = {"query": self.query_encoder, "passage": self.passage_encoder}
                write_router(folder, {side: encoder.checkpoint() for side, encoder in sides.items()})
                return
            for name, encoder in (
                ("query_encoder", self.query_encoder),
                ("passage_encoder", self.passage_encoder),
            ):
                (folder / name).mkdir()
                write_checkpoint(folder / name, encoder.checkpoint())

    def __repr__(self) -> str:
        made_of = "arrays"
        if self._reload is not None:
            named = self._reload.keywords["query_model"] is not None
            form = "query_model={query_model!r}, passage_model={passage_model!r}" if named else "{model!r}"
            made_of = form.format(**self._reload.keywords)
        exact = ", exact_dot=True" if self.passage_encoder.exact_dot else ""
        facts = f"embedding_dim={self.embedding_dim}{exact}, similarity={self.similarity!r}, backend={self.backend!r}"
        return f"DualEncoder({made_of}, {facts})"

    def __reduce__(self) -> tuple[Callable[..., DualEncoder], tuple[Any, ...]]:
        if self._reload is not None:
            return self._reload, ()
        return DualEncoder, (self.query_encoder, self.passage_encoder)
