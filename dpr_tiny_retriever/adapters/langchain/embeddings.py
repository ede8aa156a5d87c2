"""LangChain embeddings over a pair of small encoders: queries and documents have an encoder each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from dpr_tiny_retriever.adapters.langchain.announced_titles import announced_titles
from dpr_tiny_retriever.adapters.langchain.calling_store import current_addition
from dpr_tiny_retriever.adapters.langchain.store_similarity import store_problem
from dpr_tiny_retriever.adapters.langchain.titles import (
    check_separator,
    embedded_passage,
    warn_of_titles,
    warn_user,
)
from dpr_tiny_retriever.checkpoints.bundled_pairs import is_bundled
from dpr_tiny_retriever.data.title_keys import likely_title_key
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options
from dpr_tiny_retriever.passage import PassageLike
from dpr_tiny_retriever.retrieval.fusion import NOTHING_NEAR

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dpr_tiny_retriever.types import Model


class TinyDPREmbeddings(Embeddings):
    """Embeds documents with the passage encoder and queries with the query encoder.

    LangChain gives embeddings the texts of documents, not their metadata, where the titles are: `TitledVectorStore`
    over the vector store embeds titles, too. The constructor loads the model, so that a wrong name or folder is an
    error before anything is indexed.

    Vectors of unit length (`encoder.normalize`), as those of the bundled pair, go into any store. Others whose
    `encoder.similarity` is "dot" rank as the model means in a store that compares by dot product alone, such as Qdrant
    with `Distance.DOT` or FAISS with `MAX_INNER_PRODUCT`. LangChain's relevance scores of such a store are upside down:
    take them from a `TitledVectorStore`.

    Pickling and copying keep the settings and load the model again; a token is never written out.

    model, query_model, passage_model, max_query_length, max_passage_length: as in `DualEncoder.from_pretrained`.
    title_separator: for texts that begin with their title: what ends it. None: texts hold no titles.
    batch_size, show_progress: as in `DualEncoder.encode_passages`.
    options: revision, backend, threads and the others of `LoadOptions`.
    """

    encoder: DualEncoder
    """The pair itself, with `embedding_dim` and `similarity`."""

    @spell_out_options
    def __init__(
        self,
        model: Model = None,
        *,
        query_model: Model = None,
        passage_model: Model = None,
        title_separator: str | None = None,
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        batch_size: int | None = None,
        show_progress: bool | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        complete_options(options, own=tuple(locals())[1:-1])  # own: all parameters between self and options
        if title_separator is not None:
            check_separator(title_separator)
        self.title_separator = title_separator
        self.batch_size = batch_size
        self.show_progress = show_progress
        self._warned: set[str] = set()
        self._is_bundled = query_model is None and is_bundled(model)
        self.encoder = DualEncoder.from_pretrained(
            model,
            query_model=query_model,
            passage_model=passage_model,
            max_query_length=max_query_length,
            max_passage_length=max_passage_length,
            **options,
        )

    def __repr__(self) -> str:
        return f"TinyDPREmbeddings({self.encoder!r})"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector of `encoder.embedding_dim` floats per text, in the order of the texts.

        Called by a store under a TitledVectorStore, it embeds each text with its title. Raises TypeError that names the
        position of a text that is not a str, ValueError where such a store embeds other texts than it was given.
        """
        return self.embed_passages(self._passages(texts))

    def embed_passages(self, passages: Iterable[PassageLike]) -> list[list[float]]:
        """As embed_documents, of Passage(title, text), (title, text) or text, each as it is."""
        vectors = self.encoder.encode_passages(passages, batch_size=self.batch_size, show_progress=self.show_progress)
        rows: list[list[float]] = vectors.tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question, `encoder.embedding_dim` floats.

        Raises TypeError unless the question is a str.
        """
        row: list[float] = self.encoder.encode_queries([text])[0].tolist()
        return row

    @property
    def score_threshold(self) -> float | None:
        """The cosine below which the bundled pair rarely finds an answer; None for other pairs.

        For LangChain's score_threshold, where scores are cosines; docs/stores.md has its precision and recall.
        """
        return NOTHING_NEAR if self._is_bundled and self.encoder.normalize else None

    @cached_property
    def namespace(self) -> str:
        """Return a name that changes with the model, lengths, options and title_separator; letters, digits, hyphens.

        For CacheBackedEmbeddings, and beside a collection's own name for the record manager of LangChain's indexing
        API, so that another model embeds all documents again.
        """
        digest = hashlib.sha256(f"{self.encoder.passage_encoder.fingerprint()} {self.title_separator!r}".encode())
        return f"dpr-tiny-{digest.hexdigest()[:16]}"

    def cache_key(self, text: str) -> str:
        """The key of a text's vector in a cache: differs by model, length, title and text.

        For CacheBackedEmbeddings' key_encoder. Its `namespace` alone does not tell titles apart.
        """
        announced = announced_titles()
        title = "" if announced is None else announced.of([text])[0]
        passage = embedded_passage(title, text, self.title_separator)
        digest = hashlib.sha256(f"{len(passage.title or '')} {passage.title}{passage.text}".encode()).hexdigest()
        return f"{self.namespace}-{digest}"

    def _passages(self, texts: Iterable[str]) -> Iterable[PassageLike]:
        """Return the passages to encode; leaves invalid input to the encoder, whose error names its position."""
        announced = announced_titles()
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            return texts
        texts = list(texts)
        if not all(isinstance(text, str) for text in texts):
            return texts
        if announced is not None:
            titles = announced.of(texts)
        else:
            self._check_bare_store()
            titles = [""] * len(texts)
        return [embedded_passage(title, text, self.title_separator) for title, text in zip(titles, texts, strict=True)]

    def _check_bare_store(self) -> None:
        """Warn, once each, if a vector store without TitledVectorStore omits titles or ranks unlike the model."""
        addition = current_addition()
        if addition is None:
            return
        key = None if self.title_separator is not None else likely_title_key(addition.metadatas)
        if key is not None and "titles" not in self._warned:
            self._warned.add("titles")
            argument = "" if key == "title" else f", title_key={key!r}"
            warn_of_titles(
                f"documents have titles in metadata[{key!r}], but a vector store hands on texts alone",
                f"wrap it, TitledVectorStore(vectorstore{argument}), and add the documents to that",
            )
        problem = store_problem(self.encoder, addition.store)
        if problem is not None and problem not in self._warned:
            self._warned.add(problem)
            warn_user(problem)


def below_caches(embeddings: Embeddings) -> Embeddings:
    """Return the embeddings below any caches, such as CacheBackedEmbeddings."""
    while isinstance(inner := getattr(embeddings, "underlying_embeddings", None), Embeddings):
        embeddings = inner
    return embeddings


def tiny_dpr_embeddings(embeddings: Embeddings | None, store: str) -> TinyDPREmbeddings:
    """Return the TinyDPREmbeddings of a store, below any caches.

    Raises ValueError if it has no embeddings, TypeError for others.
    """
    if embeddings is None:
        raise ValueError(f"{store} does not tell its embeddings; pass them as embeddings=")
    found = below_caches(embeddings)
    if not isinstance(found, TinyDPREmbeddings):
        raise TypeError(
            f"{store} embeds by {type(found).__name__}; expected TinyDPREmbeddings, which can be told the titles"
        )
    return found
