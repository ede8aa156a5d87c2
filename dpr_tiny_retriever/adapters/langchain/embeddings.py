"""LangChain embeddings over a pair of small encoders: queries and documents have an encoder each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from dpr_tiny_retriever.adapters.langchain.titles import check_separator, partition_title
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.load_options import LoadOptions, complete_options, spell_out_options
from dpr_tiny_retriever.passage import as_passages

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dpr_tiny_retriever.types import Model


class TinyDPREmbeddings(Embeddings):
    """Embeds documents with the passage encoder and queries with the query encoder.

    The constructor loads the model, so that a wrong name or folder is an error before anything is indexed.
    Vectors of a pair whose `encoder.similarity` is "dot" belong in a store that compares by dot product
    (Qdrant's `Distance.DOT`, FAISS' `MAX_INNER_PRODUCT`); with `normalize=True` cosine ranks as the dot
    product does.

    Pickling and copying keep the settings and load the model again; a token is never written out.

    model, query_model, passage_model, max_query_length, max_passage_length: as in `DualEncoder.from_pretrained`.
    title_separator: what precedes its first occurrence in a text is the title; None: no titles.
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

        Raises TypeError that names the position of a text that is not a str.
        """
        vectors = self.encoder.encode_passages(
            texts if self.title_separator is None else _with_titles(texts, self.title_separator),
            batch_size=self.batch_size,
            show_progress=self.show_progress,
        )
        rows: list[list[float]] = vectors.tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question, `encoder.embedding_dim` floats.

        Raises TypeError unless the question is a str.
        """
        row: list[float] = self.encoder.encode_queries([text])[0].tolist()
        return row


def _with_titles(texts: Iterable[str], separator: str) -> list[tuple[str, str]]:
    """Split titles off texts; the core refuses anything but a text, with its position."""
    return [(title, text) if title else partition_title(text, separator) for title, text in as_passages(texts)]
